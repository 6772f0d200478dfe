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
	&& apt-get install -y --no-install-recommends ca-certificates libevent-core-2.1-7 libidn12 libldap-2.5-0 \
		libpam0g libpcre2-8-0 libpq5 libssl3 \
	&& rm -rf /var/lib/apt/lists/* \
	&& groupadd --gid 6432 pgweir \
	&& useradd --uid 6432 --gid 6432 --no-create-home --shell /usr/sbin/nologin pgweir
COPY --from=build /out/usr/bin/ /usr/bin/
COPY etc/docker/pgweir-health /usr/bin/
# By number, so that Kubernetes sees that it isn't root
USER 6432:6432
WORKDIR /etc/pgweir
EXPOSE 6432 9187
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["pgweir-health"]
# INT lets transactions end before pgweir does. It needs no init: it handles its signals itself and waits for what it starts
STOPSIGNAL SIGINT
ENTRYPOINT ["pgweir"]
