#!/bin/sh
# need_packages.sh PACKAGE...: installs those Debian packages that are missing; asks no mirror when none is.
set -eu

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	echo "not a Debian system: install by hand what corresponds to $*" >&2
	exit 0
fi
installed=" $(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null | sed -n 's/^ii *//p' | tr '\n' ' ') "
missing=
for package in "$@"; do
	case $installed in
	*" $package "*) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
	sudo="sudo"
	command -v sudo >/dev/null || { echo "as root: apt-get install$missing" >&2; exit 1; }
fi

# The tests make clusters of their own. The one that Debian makes and starts with a new server would take port 5432 of a
# machine whose owner asked for no server; this holds for this one installation only.
conf=/etc/postgresql-common/createcluster.d/pgweir-build.conf
our_policy=
cleanup() {
	$sudo rm -f $conf $our_policy
	[ ! -d ${conf%/*} ] || $sudo rmdir --ignore-fail-on-non-empty ${conf%/*}
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM
case "$missing " in
*" postgresql "*)
	$sudo mkdir -p ${conf%/*}
	echo "create_main_cluster = false" | $sudo tee $conf >/dev/null
	;;
esac
# Nor is PgBouncer's package to start its service: the bench runs one of its own. Who has a policy keeps it.
policy=/usr/sbin/policy-rc.d
case "$missing " in
*" pgbouncer "*)
	if [ ! -e $policy ]; then
		our_policy=$policy
		printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
		$sudo chmod 755 $policy
	fi
	;;
esac
# Nor is a directory server wanted that begins to listen as soon as it is installed: the tests start their own.
case "$missing " in
*" slapd "*) echo "slapd slapd/no_configuration boolean true" | $sudo debconf-set-selections ;;
esac
wait_for_lock="-o DPkg::Lock::Timeout=300"
$sudo apt-get $wait_for_lock -q update
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get $wait_for_lock -q -y --no-install-recommends install $missing </dev/null
rm -f config.mk # it may lack what has just been installed
