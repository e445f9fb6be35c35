# SPDX-License-Identifier: Apache-2.0
# For what makes packages and tests them: the tree a package is built from, its version, where it lies.

# release_of ROOT: deb12, deb13: what a package for that root has in its version
release_of() {
	(
		. "$1/etc/os-release"
		case "${ID:-} ${ID_LIKE:-}" in
		*debian*) ;;
		*)
			echo "packages are made on Debian and what is made of it, not on ${PRETTY_NAME:-this system}" >&2
			exit 1
			;;
		esac
		echo "deb${VERSION_ID:-sid}"
	)
}

# copy_tree FOLDER RELEASE: what is under version control, as it is now, with debian/; says where
copy_tree() {
	version=$(cat VERSION)
	if [ "$(sed -n '1s/.*(\(.*\)).*/\1/p' packaging/debian/changelog)" != "$version" ]; then
		echo "packaging/debian/changelog does not begin with version $version" >&2
		exit 1
	fi
	rm -rf "$1"
	mkdir -p "$1/haywain-$version"
	if [ -e .git ]; then
		git ls-files -z --cached --others --exclude-standard
	else
		find . -path ./build -prune -o -type f -print0
	fi | xargs -0 sh -c 'for file; do [ ! -e "$file" ] || printf "%s\0" "$file"; done' files |
		tar -c --null -T - | tar -x -C "$1/haywain-$version"
	mv "$1/haywain-$version/packaging/debian" "$1/haywain-$version/debian"
	sed -i "1s/(.*)/($version~$2)/" "$1/haywain-$version/debian/changelog"
	# What Debian 12's tools want said goes without saying in the later ones, and their policy is a newer one.
	if [ "$2" != deb12 ]; then
		sed -i '/^Priority:/d; /^Rules-Requires-Root:/d; s/^\(Standards-Version:\).*/\1 4.7.2/' "$1/haywain-$version/debian/control"
		rm "$1/haywain-$version/debian/haywain.lintian-overrides"
	fi
	echo "$1/haywain-$version"
}

# collect FROM TO: the products
collect() {
	find "$1" -maxdepth 1 -type f ! -name '*.log' -exec mv -t "$2" {} +
}

# newest_package [ROOT]: what was made for that root's (this machine's) release and this architecture, if anything
newest_package() {
	ls -t build/deb/haywain_*"~$(release_of "${1:-/}")_$(dpkg --print-architecture).deb" 2>/dev/null | head -n 1
}

# depends_of PACKAGE: the names of what it depends on and recommends, the first of each choice
depends_of() {
	dpkg-deb -f "$1" Depends Recommends | sed 's/^[A-Z][a-z]*: *//' | tr ',' '\n' | sed 's/([^)]*)//g; s/|.*//; s/ //g' | sort -u
}

# How strict the judge is.
lintian_options="-EI --pedantic --allow-root --fail-on error,warning,info,pedantic,experimental"
