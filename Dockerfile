# An image with nothing but crossfade and the certificates of the system. docs/install.md says what of this is tested.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev musl-tools git
# Debian has musl's compiler under this name; on aarch64 one of another name would be looked for.
ENV TARGET_CC=musl-gcc
WORKDIR /crossfade
COPY . .
RUN target="$(uname -m)-unknown-linux-musl" \
  && rustup target add "$target" \
  && CROSSFADE_COMMIT="$(git rev-parse --short=12 HEAD 2>/dev/null || true)" \
     cargo build --release --locked --target "$target" --bin crossfade \
  && cp "target/$target/release/crossfade" /usr/local/bin/crossfade

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /usr/local/bin/crossfade /usr/local/bin/crossfade
WORKDIR /work
ENTRYPOINT ["/usr/local/bin/crossfade"]
