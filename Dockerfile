# One image for every service and the command line; the command is chosen at run time:
#   docker run kmeans-service gateway | scheduler | worker | ui | up
FROM python:3.11-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --no-install-recommends --yes gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python -m venv /opt/kmeans \
    && /opt/kmeans/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.txt \
    && python -m venv --system-site-packages /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY protos protos
COPY ckernel ckernel
COPY kmeans_client kmeans_client
COPY services services
COPY ui ui
COPY examples examples
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/kmeans/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin kmeans
COPY --from=build /opt/kmeans /opt/kmeans
ENV PATH=/opt/kmeans/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    KMEANS_HOME=/tmp/kmeans
USER 10001:10001
WORKDIR /tmp
EXPOSE 50051
ENTRYPOINT ["kmeans-service"]
CMD ["--help"]
