#!/bin/sh
# clean_root.sh DIR 'COMMAND': runs COMMAND in a copy of this working tree inside a new, minimal Debian below DIR.
#
# Shows what the build needs of a machine that has nothing yet. As root; needs debootstrap and git. Release and mirror are
# those that this machine's apt uses. DIR must not exist, and is removed at the end. An example:
#
#	tests/clean_root.sh /var/tmp/clean 'apt-get update && apt-get install -y make && make deps && make && make unit'
set -eu

[ $# = 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
root=$1
[ ! -e "$root" ] || { echo "$root exists" >&2; exit 2; }
case $root in /*) ;; *) root=$PWD/$root ;; esac
tree=$(cd "$(dirname "$0")/.." && pwd)

# shellcheck disable=SC1091
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
sources=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
	grep -E " $release(-updates|-security)? main$" | sort -u)
mirror=$(echo "$sources" | awk -v release="$release" '$2 == release { print $1; exit }')
[ -n "$mirror" ] || { echo "this machine's apt knows no mirror of $release" >&2; exit 2; }

# Unmounted before anything is deleted, and nothing is deleted while something is still mounted below
cleanup() {
	for mounted in dev/shm dev/pts proc; do
		! mountpoint -q "$root/$mounted" || umount "$root/$mounted" || umount -l "$root/$mounted"
	done
	if grep -q " $root/" /proc/self/mounts; then
		echo "still mounted below $root: left as it is" >&2
	else
		rm -rf --one-file-system "$root"
	fi
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

debootstrap --variant=minbase "$release" "$root" "$mirror" >"$root.log" 2>&1 || { tail "$root.log" >&2; exit 1; }
rm -f "$root.log"
echo "$sources" | sed 's/^/deb /' >"$root/etc/apt/sources.list"
apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date)' >"$root/etc/apt/apt.conf.d/99host" || :
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no service starts while packages are installed
chmod 755 "$root/usr/sbin/policy-rc.d"
mount -t proc proc "$root/proc"
mkdir -p "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t devpts devpts "$root/dev/pts"

mkdir "$root/src"
(cd "$tree" && git ls-files -z --cached --others --exclude-standard | tar -cf - --null -T -) | tar -xf - -C "$root/src"
status=0
chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
	DEBIAN_FRONTEND=noninteractive sh -c "cd /src && $2" </dev/null || status=$?
echo "clean_root: exit status $status"
exit $status
