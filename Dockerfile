# The service as an image: the pinned dependencies first, the engine next, the services and the models last,
# so that a changed model rebuilds one small layer. PYTHON is the version that the tests run on.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/bedside
COPY requirements.lock ./
RUN /opt/bedside/bin/pip install --no-deps --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md ./
COPY fhir_fixtures/ fhir_fixtures/
COPY cds/ cds/
# The wheel of this stage holds the engine alone: `hooks` and `models` are namespace packages and come from /app below.
RUN pip wheel --no-deps --wheel-dir /build/dist . \
    && /opt/bedside/bin/pip install --no-deps /build/dist/*.whl

FROM python:${PYTHON}-slim
RUN groupadd --system --gid 10001 bedside \
    && useradd --system --uid 10001 --gid 10001 --create-home --home-dir /var/lib/bedside --shell /usr/sbin/nologin bedside
ENV PATH=/opt/bedside/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/bedside /opt/bedside
# The working directory is where the ledger of a service without PostgreSQL is kept.
WORKDIR /var/lib/bedside
USER 10001:10001
# Plain HTTP, for a TLS proxy in front. Listening for others starts only where site.toml says trust = "clients":
# then nobody is answered without a registered EHR's token.
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health/live', timeout=2)"]
ENTRYPOINT ["bedside"]
CMD ["serve", "--site", "/site", "--host", "0.0.0.0"]
COPY hooks/ /app/hooks/
COPY models/ /app/models/
