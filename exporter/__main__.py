"""`python -m exporter` is the command `llm-gateway-exporter`."""

from exporter.cli import main

if __name__ == "__main__":
    main()
