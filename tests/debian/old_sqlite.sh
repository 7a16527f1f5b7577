#!/bin/sh
# Runs tests with SQLite 3.34.1, of Debian 11, in the place of this Debian's: old_sqlite.sh FOLDER TEST...
#
# The package comes by apt-get from where this machine's packages come from, with lists of its own
# below FOLDER: nothing of the system's is changed, and no root is needed.
set -eu

version=3.34.1-3
sum=a0b8d3acf4a0483048637637d269be93af48d5c16f6f139f53edd13384ad4686

folder=$1
shift

fetch() {
    rm -rf "$folder"
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    cd "$folder"
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk '$2 == "bookworm" && $3 == "main" { print "deb [signed-by=/usr/share/keyrings/" \
            "debian-archive-keyring.gpg arch=amd64]", $1, "bullseye main"; exit }' >sources.list
    own="-qq -o Dir::Etc::SourceList=$PWD/sources.list -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State::Lists=$PWD/lists -o Dir::Cache=$PWD/cache -o Dir::State::Status=/dev/null
        -o APT::Sandbox::User=$(id -un)"
    apt-get $own -o APT::Update::Error-Mode=any update
    apt-get $own download "libsqlite3-0:amd64=$version"
    echo "$sum  libsqlite3-0_${version}_amd64.deb" | sha256sum --check --quiet
    dpkg-deb -x "libsqlite3-0_${version}_amd64.deb" .
}

lib=$folder/usr/lib/x86_64-linux-gnu
[ -e "$lib/libsqlite3.so.0" ] || (fetch)
for test; do
    said=$(LD_LIBRARY_PATH=$lib tests/unit/run.sh "$test") || { echo "$said"; exit 1; }
    echo "$said" | grep -E '^==|PASSED'
done
