"""Servers of other tests, which anything is sent to here, and the profile of `make fuzz`."""

from hypothesis import settings

from tests.sources.proxy.conftest import start_proxy as start_proxy

settings.register_profile("long")
