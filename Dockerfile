# The daemon alone, as a user without privileges. `docker build -t ucm-provisiond .`, then
#
#   docker run --network host \
#     -v /dev:/dev --device-cgroup-rule 'c 188:* rmw' --device-cgroup-rule 'c 166:* rmw' \
#     -v /run/udev:/run/udev:ro \
#     -v /etc/ucm-provision:/etc/ucm-provision:ro \
#     -v /etc/ucm-provision/credentials:/run/secrets:ro \
#     -v ucm-provision-state:/var/lib/ucm-provision \
#     ucm-provisiond
#
# Serial ports: --device names a port that must be there at start and goes stale when the module is plugged in
# again, so the whole of /dev is shared, and the two rules open USB serial ports only (188 ttyUSB, 166 ttyACM).
# The ports' group must be the container's: it is dialout, 20, on Debian; elsewhere add --group-add "$(stat -c
# %g /dev/ttyUSB0)". udev's own properties come from /run/udev.
# Network: mDNS does not cross a bridge, and kernel events stay in their network namespace; hence the host's.
# Secrets: files in /run/secrets, named as systemd credentials are (api-token), readable for user 990.

FROM python:3.11-slim AS build
COPY requirements/demo.txt requirements/daemon.txt /src/requirements/
# demo.txt is the lock that also holds the build backend, with its hashes; nothing of it reaches the image.
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes -r /src/requirements/demo.txt \
 && python3 -m venv /opt/ucm-provision \
 && /opt/ucm-provision/bin/pip install --no-cache-dir --require-hashes -r /src/requirements/daemon.txt
COPY pyproject.toml README.md /src/
COPY daemon /src/daemon
COPY hardware /src/hardware
RUN /opt/build/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels /src \
 && /opt/ucm-provision/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM python:3.11-slim
RUN groupadd --gid 990 ucm-provision \
 && useradd --uid 990 --gid 990 --groups dialout --no-create-home --home-dir /var/lib/ucm-provision \
      --shell /usr/sbin/nologin ucm-provision \
 && install -d -o ucm-provision -g ucm-provision -m 0700 /var/lib/ucm-provision \
 && install -d -o ucm-provision -g ucm-provision -m 0755 /run/ucm-provision \
 && install -d /etc/ucm-provision
COPY --from=build /opt/ucm-provision /opt/ucm-provision
ENV PATH=/opt/ucm-provision/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CREDENTIALS_DIRECTORY=/run/secrets
USER ucm-provision
VOLUME /var/lib/ucm-provision
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["ucmctl", "status"]
ENTRYPOINT ["ucm-provisiond"]
CMD ["--config", "/etc/ucm-provision/ucm-provision.toml"]
