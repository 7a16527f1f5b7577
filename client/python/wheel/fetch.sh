#!/bin/sh
# Fetches what the wheel's programs are linked from, as sources.txt names it: fetch.sh FOLDER ARCH
#
# Debian's sources come by apt-get from where this machine's packages come from, with lists of their
# own under FOLDER: nothing of the system's is changed, and no root is needed. A version that its
# archive no longer has fails here: sources.txt takes the next one, with its checksum.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
cd "$1"
arch=$2

# The suites of this Debian that the machine has configured, each with its sources.
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    sort -u -k 2,2 -k 1 | awk -v arch="$arch" '$2 ~ /^bookworm/ && $3 == "main" {
        key = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
        printf "deb-src [%s] %s %s main\ndeb [%s arch=%s] %s %s main\n", key, $1, $2, key, arch, $1, $2
    }' >sources.list
[ -s sources.list ] || { echo "apt-get knows no packages of Debian 12 here" >&2; exit 1; }

own_apt() {
    apt-get -qq -o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$PWD/lists" -o Dir::Cache="$PWD/cache" -o APT::Sandbox::User="$(id -un)" \
        -o APT::Architecture="$arch" -o APT::Architectures::="$arch" "$@"
}

# A list that did not come is an error; by itself apt-get only warns.
own_apt -o Acquire::Retries=3 -o APT::Update::Error-Mode=any update
grep -v '^#' "$here/sources.txt" | while read -r name version sum; do
    case $name in
    *":$arch")
        own_apt download "$name=$version"
        file=$(echo "${name%:*}"_*_"$arch".deb) ;;
    *:*)
        continue ;;
    *)
        rm -rf "$name" "$name"-*
        own_apt source --download-only "$name=$version"
        file=${name}_${version#*:}.dsc ;;
    esac
    echo "$sum  $file" | sha256sum --check --quiet
    case $file in
    *.deb) dpkg-deb -x "$file" "$(basename "${name%:*}" -dev)" ;;
    *) dpkg-source --no-check -x "$file" "$name" >"$name.log" ;;
    esac
done
