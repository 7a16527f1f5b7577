# What packages.sh does in its Debian: sh -eu.
quiet() { "$@" >/tmp/said 2>&1 || { cat /tmp/said; echo "failed: $*"; exit 1; }; }
step() { echo "== $*"; }
# All that there is, but for what apt-get, dpkg and those that they call write down for themselves.
files() {
    find / -xdev \( -path /proc -o -path /dev -o -path /tmp -o -path /debs -o -path /var/cache -o -path /var/log \
        -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /run \) -prune -o -print | sort
}
# As the unit has them.
export XDG_STATE_HOME=/var/lib RICHD_RUNTIME_DIR=/run/richd

step "what the packages need"
quiet apt-get update
# Without them, so that they alone come and go below.
needed=$(apt-get install -s --no-install-recommends /debs/*.deb | sed -n 's/^Inst \([^ ]*\) (.*/\1/p' | grep -vE 'richd' | sort -u)
quiet apt-get install -y --no-install-recommends $needed gcc libc6-dev pkg-config
files >/tmp/before

step "install"
quiet apt-get install -y --no-install-recommends /debs/*.deb
getent passwd richd | grep -q ':/var/lib/richd:'
[ "$(readlink /etc/systemd/system/multi-user.target.wants/richd.service)" = /lib/systemd/system/richd.service ]
[ -e /usr/lib/systemd/user/richd.service ]
[ ! -e /etc/systemd/user/default.target.wants/richd.service ]
for page in man1/richd.1 man1/richctl.1 man3/richd_submit.3 man5/richd.conf.5; do
    [ -e /usr/share/man/$page.gz ]
done
bash -c '. /usr/share/bash-completion/completions/richctl && complete -p richctl' >/dev/null

step "use"
install -d -o richd -g richd -m 700 /var/lib/richd
install -d -o richd -g richd -m 750 /run/richd
setpriv --reuid richd --regid richd --clear-groups richd --socket-group richd 2>/tmp/log &
daemon=$!
until richctl status >/dev/null 2>&1; do kill -0 $daemon && sleep 0.1; done
adduser --quiet --disabled-password --gecos '' member && adduser --quiet member richd
su member -c 'RICHD_RUNTIME_DIR=/run/richd richctl open' | grep -q '^http://127.0.0.1:[0-9]*/.*#.*token='
cat >/tmp/train.py <<'PY'
import numpy, richd
rows = numpy.random.default_rng(0).normal(size=(300, 16)).astype("f")
with richd.init(name="packaged") as run:
    run.observe(rows, rows[:, :4], step=1)
    points = run.checkpoint(step=1, wait=20)
assert points["head"].d_lr is not None, points
PY
su member -c 'RICHD_RUNTIME_DIR=/run/richd RICHD_AUTOSTART=0 python3 /tmp/train.py'
richctl runs | grep -q packaged
printf '#include <richd.h>\n#include <stdio.h>\nint main(void) { puts(richd_version()); }\n' >/tmp/a.c
gcc -o /tmp/a /tmp/a.c $(pkg-config --cflags --libs richd)
/tmp/a

step "remove: the history stays"
kill $daemon && wait $daemon
userdel -r member 2>/dev/null
quiet apt-get remove -y richd librichd0 librichd-dev python3-richd
[ -e /var/lib/richd/richd.sqlite ]
[ ! -e /usr/bin/richd ]

step "purge: it goes"
quiet dpkg --purge richd
[ ! -e /var/lib/richd ] && [ ! -e /etc/systemd/system/multi-user.target.wants/richd.service ]
files >/tmp/after
diff /tmp/before /tmp/after | grep '^[<>]' | grep -vE ' (/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|/etc/.*\.lock|/var/lib/systemd.*|/home|/var/mail.*|.*__pycache__.*)$' && { echo "it left something"; exit 1; }
echo "installed, used, removed and purged"
