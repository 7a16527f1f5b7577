# What packages.sh does in its Debian: sh -eu inside.sh install, booted or remove.
export DEBIAN_FRONTEND=noninteractive
quiet() { "$@" >/tmp/said 2>&1 || { cat /tmp/said; echo "failed: $*"; exit 1; }; }
step() { echo "== $*"; }
# All that there is, but for what those write down for themselves that installed or booted it.
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /debs -o -path /run \
        -o -path /var/cache -o -path /var/log -o -path /var/lib/apt -o -path /var/lib/dpkg \) -prune \
        -o -print | sort
}
member() { su member -c "$*"; }

install_packages() {
    step "what the packages need"
    quiet apt-get update
    # Without them, so that they alone come and go below.
    needed=$(apt-get install -s --no-install-recommends /debs/*.deb |
        sed -n 's/^Inst \([^ ]*\) (.*/\1/p' | grep -v richd | sort -u)
    quiet apt-get install -y --no-install-recommends $needed gcc libc6-dev pkg-config systemd-sysv dbus
    files >/debs/before

    step "install"
    quiet apt-get install -y --no-install-recommends /debs/*.deb
    getent passwd richd | grep -q ':/var/lib/richd:'
    for page in man1/richd.1 man1/richctl.1 man3/richd_submit.3 man5/richd.conf.5; do
        [ -e /usr/share/man/$page.gz ]
    done
    bash -c '. /usr/share/bash-completion/completions/richctl && complete -p richctl' >/dev/null
    printf '#include <richd.h>\n#include <stdio.h>\nint main(void) { puts(richd_version()); }\n' >/tmp/a.c
    gcc -o /tmp/a /tmp/a.c $(pkg-config --cflags --libs richd)
    /tmp/a

    # For the boot: a member of the group, and what is tried then.
    quiet adduser --disabled-password --gecos '' member
    quiet adduser member richd
    cat >/etc/systemd/system/booted.service <<'UNIT'
[Unit]
After=richd.service
[Service]
Type=oneshot
ExecStart=/bin/sh -euc 'sh -eu /debs/inside.sh booted >/debs/said 2>&1 && touch /debs/passed'
ExecStopPost=systemctl exit 0 --force
UNIT
    ln -s ../booted.service /etc/systemd/system/multi-user.target.wants/
}

booted() {
    step "the machine's daemon"
    [ "$(systemctl is-enabled richd)" = enabled ] && [ "$(systemctl is-active richd)" = active ]
    member richctl open | grep -q '^http://127.0.0.1:[0-9]*/#token='
    cat >/tmp/train.py <<'PY'
import numpy, richd
rows = numpy.random.default_rng(0).normal(size=(300, 16)).astype("f")
with richd.init(name="packaged") as run:
    run.observe(rows, rows[:, :4], step=1)
    points = run.checkpoint(step=1, wait=20)
assert points["head"].d_lr is not None, points
PY
    member RICHD_AUTOSTART=0 python3 /tmp/train.py
    member richctl runs | grep -q packaged
    python3 - <<'PY'
import json, urllib.error, urllib.request
found = json.load(open("/run/richd/endpoints.json"))
assert urllib.request.urlopen(found["http"] + "/").status == 200
try:
    urllib.request.urlopen(found["http"] + "/api/runs")
    raise SystemExit("the history was read without a token")
except urllib.error.HTTPError as error:
    assert error.code == 401
PY
    su nobody -s /bin/sh -c 'richctl status' 2>/dev/null && exit 1
    systemctl reload richd
    systemctl restart richd
    member richctl runs | grep -q packaged

    step "without the page"
    mkdir /etc/systemd/system/richd.service.d
    cp /usr/share/richd/no-page.conf /etc/systemd/system/richd.service.d/
    systemctl daemon-reload
    systemctl restart richd
    member richctl runs | grep -q packaged
    ! grep -q http /run/richd/endpoints.json
    rm -r /etc/systemd/system/richd.service.d
    systemctl daemon-reload

    step "a user's daemon: there, and not enabled"
    [ -e /usr/lib/systemd/user/richd.service ]
    [ "$(systemctl --global is-enabled richd 2>/dev/null)" = disabled ]
    systemctl stop richd
    [ "$(systemctl show -p Result --value richd)" = success ]
}

remove_packages() {
    rm /etc/systemd/system/booted.service /etc/systemd/system/multi-user.target.wants/booted.service
    userdel -r member 2>/dev/null

    step "remove: the history stays"
    quiet apt-get remove -y richd librichd0 librichd-dev python3-richd
    [ -e /var/lib/richd/richd.sqlite ] && [ ! -e /usr/bin/richd ]

    step "purge: it goes"
    quiet dpkg --purge richd
    files >/debs/after
    # The users' files, and what the boot made.
    ours='/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|/etc/(machine-id|\.pwd\.lock|\.updated)'
    boot='/var/lib/(systemd|dbus|private|machines|portables)(/.*)?|/var/(\.updated|mail/.*|tmp/.*)'
    diff /debs/before /debs/after | grep '^[<>]' |
        grep -vE "^. ($ours|$boot|/home|/srv|.*/__pycache__(/.*)?)$" && { echo "is left"; exit 1; }
    echo "installed, booted, used, removed and purged"
}

case $1 in
install) install_packages ;;
booted) booted ;;
remove) remove_packages ;;
esac
