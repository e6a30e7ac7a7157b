# The interpreter of both stages, by its patch version. To pin it to the byte, give its digest:
#   docker build --build-arg BASE=python:3.11.15-slim-bookworm@sha256:... .
# (`docker buildx imagetools inspect python:3.11.15-slim-bookworm` prints it.)
ARG BASE=python:3.11.15-slim-bookworm

FROM ${BASE} AS build
ENV PATH=/opt/countersign/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1
WORKDIR /src
RUN python3 -m venv /opt/countersign
COPY deploy/requirements.txt deploy/requirements.txt
RUN pip install --require-hashes --only-binary :all: --requirement deploy/requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY handlers handlers
COPY engine engine
COPY llm llm
COPY alembic alembic
# What only builds and installs stays behind.
RUN pip install --no-deps --no-build-isolation . \
    && pip uninstall --yes hatchling editables setuptools pip

FROM ${BASE}
# matplotlib writes its list of fonts; all else that is written goes to DATA_DIR, compiled strategies
# too, so that they outlast the container.
ENV PATH=/opt/countersign/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    XDG_CACHE_HOME=/data/.cache \
    DATA_DIR=/data
# A fixed id, so that volumes and backups keep their owner from one image to the next.
RUN groupadd --gid 10001 desk \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin desk \
    && install --directory --owner desk --group desk --mode 0700 /data
COPY --from=build /opt/countersign /opt/countersign
WORKDIR /etc/countersign
COPY countersign.toml ./
USER 10001:10001
VOLUME /data
STOPSIGNAL SIGTERM
# A first start makes the database, and an upgrade may change it, before the desk answers.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["countersign", "health"]
ENTRYPOINT ["countersign"]
CMD ["run"]
