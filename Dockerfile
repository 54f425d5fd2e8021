# The exporter's image, for amd64 and arm64: `docker buildx build --platform linux/amd64,linux/arm64 .`
# Every package is a wheel that is pinned by its hash in deploy/container/*.lock (`make lock`).
ARG PYTHON=python:3.13-slim-trixie

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY deploy/container/*.lock ./
RUN python3 -m venv /build \
    && /build/bin/pip install --no-compile --require-hashes -r build.lock \
    && python3 -m venv --without-pip /opt/llm-gateway-exporter \
    && /build/bin/pip --python /opt/llm-gateway-exporter/bin/python3 install --no-compile \
        --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
# Byte code that does not tell when it was made: the root file system is read-only.
RUN /build/bin/python3 -m hatchling build -t wheel -d /wheel \
    && /build/bin/pip --python /opt/llm-gateway-exporter/bin/python3 install --no-compile \
        --no-index --no-deps /wheel/*.whl \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/llm-gateway-exporter/lib \
    && mkdir /state

FROM ${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="llm-gateway-exporter" \
      org.opencontainers.image.description="Prometheus series from the request logs of LLM gateways" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/llm-gateway-exporter /opt/llm-gateway-exporter
COPY --from=build --chown=65532:65532 /state /var/lib/llm-gateway-exporter
ENV PATH=/opt/llm-gateway-exporter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /var/lib/llm-gateway-exporter
VOLUME /var/lib/llm-gateway-exporter
EXPOSE 9478
# Without the proxies that a container engine may set for all of its containers.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=4 \
    CMD ["python3", "-c", "from urllib.request import *; build_opener(ProxyHandler({})).open('http://127.0.0.1:9478/-/healthy', timeout=4)"]
ENTRYPOINT ["llm-gateway-exporter"]
CMD ["run", "--config.file=/etc/llm-gateway-exporter/config.yaml", "--web.listen-address=:9478"]
