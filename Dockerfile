# Dunlin in a container: no shell, no root, nothing written unless a directive says so.
#
#   docker build -t dunlin .
#   docker run --rm --read-only -p 6379:6379 -e DUNLIN_BIND='*' -e DUNLIN_REQUIREPASS=secret dunlin
#
# Every directive is an environment variable, or an argument behind the image's name; the health check
# knows the environment only, so that is where a port and a password belong. As everywhere,
# other machines are not served without a password; in a pod, and in a container network that is
# shared, the loopback address of the default is what neighbours use.

FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release -p dunlin --bin dunlin \
    && install -D target/release/dunlin /out/usr/local/bin/dunlin \
    && install -d -o 65532 -g 65532 /out/data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out /
# Snapshots and an aclfile with a relative path are here: mount a volume to keep them.
WORKDIR /data
USER 65532:65532
EXPOSE 6379
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=2s --start-period=5s CMD ["/usr/local/bin/dunlin", "ping"]
ENTRYPOINT ["/usr/local/bin/dunlin"]
