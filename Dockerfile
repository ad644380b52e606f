# The daemon and its command line, as a user without privileges:  docker build --tag ucm-provisiond .
# How it is run, with serial ports that are plugged in later: docs/OPERATIONS.md, "In a container".
#
# Debian's Python is the one that the Debian package runs on, and Debian mends it: build anew, with --pull, to get what
# it has mended. --build-arg BASE= names another Debian 12, such as a digest.

ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS system
# A machine's id that came with the image would be every machine's: the daemon is given the box's own, or box.id.
# What is mounted over the folder of the control socket, so that the rest may be read-only, gets this folder's mode and
# not its owner; hence 1777.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libudev1 python3 tzdata \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/lib/dbus/machine-id /var/cache/debconf/*-old /var/log/* \
 && : > /etc/machine-id \
 && groupadd --system --gid 990 ucm-provision \
 && useradd --system --uid 990 --gid 990 --groups dialout --no-create-home --home-dir /var/lib/ucm-provision \
      --shell /usr/sbin/nologin ucm-provision \
 && install -d -o ucm-provision -g ucm-provision -m 0700 /var/lib/ucm-provision \
 && install -d -o ucm-provision -g ucm-provision -m 1777 /run/ucm-provision \
 && install -d /etc/ucm-provision /run/secrets

FROM system AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-venv
# Whatever is installed was locked with its hash. All of it comes as wheels but cobs, which is made into one in pure
# Python, so that no compiler is needed.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all:
COPY requirements/build.txt requirements/daemon.txt /src/requirements/
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-compile --require-hashes -r /src/requirements/build.txt \
 && /opt/build/bin/pip wheel --no-build-isolation --no-binary cobs --wheel-dir /wheels \
      --require-hashes -r /src/requirements/daemon.txt
COPY pyproject.toml README.md /src/
COPY docs/OPERATIONS.md /src/docs/
COPY daemon /src/daemon
COPY hardware /src/hardware
# The environment that goes into the image has no pip.
RUN /opt/build/bin/pip wheel --no-build-isolation --no-deps --no-index --wheel-dir /wheels /src \
 && python3 -m venv --without-pip /opt/ucm-provision \
 && /opt/build/bin/pip --python /opt/ucm-provision install --no-deps --no-index /wheels/*.whl

FROM system
COPY --from=build /opt/ucm-provision /opt/ucm-provision
# Secrets come as files, named as the service's credentials are.
ENV PATH=/opt/ucm-provision/bin:$PATH \
    CREDENTIALS_DIRECTORY=/run/secrets
USER ucm-provision
VOLUME /var/lib/ucm-provision
HEALTHCHECK --interval=60s --timeout=10s --start-period=20s CMD ["ucmctl", "status"]
ENTRYPOINT ["ucm-provisiond"]
