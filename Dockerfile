# One image for every service, the dashboard and the command line; the command is chosen at run time:
#   docker run kmeans-service gateway | scheduler | worker | ui | up
# Both stages begin with the same image. For a build that nobody can change afterwards, name it by its digest:
#   docker build --build-arg PYTHON=python@sha256:... .
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
# The compiler stays behind in this stage, and Debian keeps one version of it for as long as there is a bookworm.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements/build.txt requirements/traces.txt requirements/
RUN python -m venv /opt/kmeans \
    && /opt/kmeans/bin/pip install --no-cache-dir --require-hashes -r requirements/traces.txt \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY protos protos
COPY ckernel ckernel
COPY kmeans_client kmeans_client
COPY services services
COPY ui ui
COPY examples examples
# Last, what installs is taken out, for nothing is added to an image that runs; and with it the packages' own tests,
# a seventh of everything. What Python compiles at installing stays: workers start from nothing, and soon.
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/kmeans/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl \
    && /opt/kmeans/bin/pip uninstall --yes setuptools pip \
    && find /opt/kmeans -type d \( -name tests -o -path '*/onnx/backend/test' \) -prune -exec rm -rf {} +

FROM ${PYTHON}
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin kmeans
COPY --from=build /opt/kmeans /opt/kmeans
# /tmp is all that has to be writable.
ENV PATH=/opt/kmeans/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    KMEANS_HOME=/tmp/kmeans
USER 10001:10001
WORKDIR /tmp
EXPOSE 50051 8501
ENTRYPOINT ["kmeans-service"]
CMD ["--help"]
