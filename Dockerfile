# pgweir in a small image.
#
#	docker build -t pgweir .
#	docker run -v ./etc:/etc/pgweir:ro -p 6432:6432 pgweir /etc/pgweir/pgweir.ini	(with listen_addr = *)
#	docker run -e DATABASE_URL=postgresql://app:secret@db/shop --network container:app pgweir
#
# With DATABASE_URL pgweir listens on localhost: it is a sidecar, so it belongs into its application's network namespace,
# where nobody else can reach it (a pod in Kubernetes, network_mode: service:app in Compose).
FROM debian:bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends make
WORKDIR /src
COPY Makefile configure.ac config.mk.in ./
COPY tests/need_packages.sh tests/
RUN make deps-build
COPY . .
RUN make -j"$(nproc)" && make install prefix=/usr DESTDIR=/out && strip /out/usr/bin/*

FROM debian:bookworm-slim
RUN apt-get update \
	&& apt-get install -y --no-install-recommends ca-certificates libevent-core-2.1-7 \
		libevent-pthreads-2.1-7 libidn12 libpq5 libssl3 \
	&& rm -rf /var/lib/apt/lists/* \
	&& useradd --system --no-create-home --shell /usr/sbin/nologin pgweir
COPY --from=build /out/usr/bin/ /usr/bin/
USER pgweir
WORKDIR /etc/pgweir
EXPOSE 6432
# INT lets transactions end before pgweir does
STOPSIGNAL SIGINT
ENTRYPOINT ["pgweir"]
