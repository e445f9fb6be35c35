#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The whole life of the package, as root inside the booted container; tests/acceptance/run puts it there.
passed=0
failed=0
check() { # "what" command...
	what=$1
	shift
	if "$@" >/tmp/output 2>&1; then
		passed=$((passed + 1))
		echo "ok      $what"
	else
		failed=$((failed + 1))
		echo "FAILED  $what"
		tail -n 8 /tmp/output | sed 's/^/            /'
	fi
}
check_sh() { # "what" "shell commands"
	check "$1" sh -c "$2"
}
wait_for() { # seconds "shell commands"
	tries=$(($1 * 10))
	while [ "$tries" -gt 0 ]; do
		sh -c "$2" >/tmp/output 2>&1 && return 0
		sleep 0.1
		tries=$((tries - 1))
	done
	cat /tmp/output
	systemctl status --no-pager -l haywain
	return 1
}
property() {
	systemctl show -P "$1" haywain
}
new_process() { # seconds, the old pid
	wait_for "$1" "systemctl -q is-active haywain && [ \$(systemctl show -P MainPID haywain) != $2 ]"
}
inside() { # in the service's own view of the system, shell commands
	nsenter -t "$(property MainPID)" -m sh -c "$1"
}
install() {
	apt-get install -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@"
}
export DEBIAN_FRONTEND=noninteractive
echo '127.0.0.1 localhost' >/etc/hosts

# ---- a broker that wants a password, and keeps what a subscriber has missed ----
systemctl stop mosquitto
printf 'gate:swing\nwatch:tower\n' >/etc/mosquitto/passwords
mosquitto_passwd -U /etc/mosquitto/passwords 2>/dev/null
cat >/etc/mosquitto/conf.d/acceptance.conf <<'END'
listener 1883 localhost
password_file /etc/mosquitto/passwords
max_queued_messages 0
END
systemctl reset-failed mosquitto
systemctl start mosquitto
subscriber="-h localhost -u watch -P tower -i watch -c -q 1"
# shellcheck disable=SC2086 # options
mosquitto_sub $subscriber -t '#' -E

# ---- fresh from the package ----
check "installs without a network" install /acceptance/haywain.deb
check "active at once" systemctl is-active haywain
check "enabled" systemctl is-enabled haywain
check_sh "the configuration is 0640 root:haywain" '[ "$(stat -c %a:%U:%G /etc/haywain/haywain.conf)" = 640:root:haywain ]'
check_sh "the state directory is 0750 haywain" '[ "$(stat -c %a:%U:%G /var/lib/haywain)" = 750:haywain:haywain ]'
check_sh "the run directory is 0755 haywain" '[ "$(stat -c %a:%U:%G /run/haywain)" = 755:haywain:haywain ]'
check_sh "the user is in dialout and bluetooth" 'id -nG haywain | grep -w dialout | grep -w bluetooth'
check "the delivered configuration is good" haywaind --check
check_sh "the models are listed" 'haywain models | grep "^eastron-sdm120  *modbus "'
check_sh "the plugins are listed" 'haywain plugins | grep "^modbus " && haywain help serial | grep -w decode'
check_sh "a secret is for root and the service" 'echo x | haywain secret try.password && [ "$(stat -c %a:%U:%G /etc/haywain/try.password)" = 640:root:haywain ] && rm /etc/haywain/try.password'
check_sh "a credential is for root alone" 'install -d -m 700 /etc/credstore && echo x | haywain secret /etc/credstore/try.password && [ "$(stat -c %a:%U:%G /etc/credstore/try.password)" = 600:root:root ] && rm /etc/credstore/try.password'
check_sh "the unit has no mistake" '[ -z "$(systemd-analyze verify --man=no haywain.service 2>&1)" ]'
systemd-analyze security haywain --no-pager | tail -n 1 | sed 's/^/        /'
check "exposure below 2.0" systemd-analyze security --threshold=19 --no-pager haywain

pid=$(property MainPID)
check_sh "runs as haywain" "[ \$(stat -c %U /proc/$pid) = haywain ]"
check_sh "no capabilities, no new privileges, system calls filtered" \
	"grep -q '^CapEff:.0000000000000000' /proc/$pid/status && grep -q '^CapBnd:.0000000000000000' /proc/$pid/status &&
	grep -q '^NoNewPrivs:.1' /proc/$pid/status && grep -q '^Seccomp:.2' /proc/$pid/status"
check "sees /etc and /usr read-only" inside '! touch /etc/x && ! touch /usr/x && ! touch /var/lib/x'
check "sees nothing of /root and /home" inside '! ls /root/. || [ -z "$(ls -A /root)" ]'
check "writes to its own folder" inside 'touch /var/lib/haywain/x && rm /var/lib/haywain/x'
# From within its control group a serial port may be opened, though it may not be there; another device is refused.
mknod /var/tmp/ttyS0 c 4 64
mknod /var/tmp/kmsg c 1 11
group=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$pid/cgroup")
open_device() { # what the service would hear
	sh -c 'echo $$ >"$1/cgroup.procs" && exec 3<"$2"' sh "$group" "$1" 2>&1
}
refused() {
	open_device "$1" | grep 'Operation not permitted'
}
check "a device that is no serial port is refused" refused /var/tmp/kmsg
not_refused() {
	! refused "$1"
}
check "a serial port is not" not_refused /var/tmp/ttyS0

# ---- edited, and reloaded ----
cat >/etc/haywain/haywain.conf <<'END'
# edited by its owner
gateway: { id = "acceptance"; clock = "trust"; };
uplinks: ( { name = "local"; url = "mqtt://localhost:1883"; username = "gate"; password_file = "local.password"; } );
END
cat >/etc/haywain/conf.d/made-up.conf <<'END'
links: ( { name = "made-up"; plugin = "sim"; }, { name = "nobody"; plugin = "modbus"; url = "tcp://127.0.0.1:1"; } );
devices: (
  { name = "count"; link = "made-up"; every = "100ms"; points: ( { name = "n"; type = "uint32"; wave = "counter"; } ); },
  { name = "absent"; link = "nobody"; unit = 1; every = "1s"; points: ( { name = "x"; holding = 0; } ); }
);
END
(umask 027 && echo swing >/etc/haywain/local.password && chgrp haywain /etc/haywain/local.password)
check "the edited configuration is good" haywaind --check
# What root alone can read is green for root and refused to the service.
advises() { # file
	! haywaind --check >/tmp/advice 2>&1 && grep "the service runs as haywain: chgrp haywain $1 && chmod 640 $1" /tmp/advice
}
for file in haywain.conf conf.d/made-up.conf local.password; do
	cp -p "/etc/haywain/$file" /tmp/kept
	chgrp root "/etc/haywain/$file"
	chmod 600 "/etc/haywain/$file"
	check "--check as root sees that the service cannot read $file" advises "/etc/haywain/$file"
	chgrp --reference=/tmp/kept "/etc/haywain/$file"
	chmod --reference=/tmp/kept "/etc/haywain/$file"
done
check "reload" systemctl reload haywain
# shellcheck disable=SC2086
check_sh "readings reach the broker" "mosquitto_sub -h localhost -u watch -P tower -t 'haywain/acceptance/data/count' -C 5 -W 20 | grep '\"n\":'"
check_sh "the same process" "[ \$(systemctl show -P MainPID haywain) = $pid ]"
check "the status tells of devices and uplinks" wait_for 10 "systemctl show -P StatusText haywain | grep '1 of 2 devices online, local connected'"
echo 'devices: ( { name = ' >/etc/haywain/conf.d/broken.conf
check_sh "a reload that leaves something out fails" '! systemctl reload haywain'
check_sh "and its output says what" 'systemctl status --no-pager -l haywain | grep "haywain\[[0-9]*\]: /etc/haywain/conf.d/broken.conf:1: "'
check "the service is active all the same" systemctl is-active haywain
echo 'uplinks: nonsense' >>/etc/haywain/haywain.conf
check_sh "a reload that applies nothing fails" '! systemctl reload haywain'
check "a bad configuration is told" wait_for 10 "journalctl -u haywain -p err -o cat | grep 'haywain.conf:[0-9]*: '"
check "and changes nothing" wait_for 10 "[ \$(systemctl show -P MainPID haywain) = $pid ] && systemctl show -P StatusText haywain | grep '1 of 2 devices online, local connected'"
rm /etc/haywain/conf.d/broken.conf
sed -i '$d' /etc/haywain/haywain.conf
check "mended: the reload is a success" systemctl reload haywain
# A second one by hand would be a second gateway of the same name.
beside() {
	(cd /tmp && haywaind) >/tmp/beside 2>&1
	status=$?
	cat /tmp/beside
	[ $status = 1 ] && grep -q "haywaind is already running, process $pid: systemctl stop haywain first" /tmp/beside &&
		[ ! -e /tmp/queue.db ]
}
check "haywaind typed by hand beside it refuses" beside

# ---- what is said, and where ----
check "the journal knows devices" wait_for 10 "journalctl -u haywain HAYWAIN_DEVICE=count -o cat | grep -i online"
check "and links; one that is down is a warning" wait_for 20 "journalctl -u haywain HAYWAIN_LINK=nobody PRIORITY=4 -o cat | grep down"
check_sh "at info nothing below is said" "! journalctl -u haywain -o json | grep '\"PRIORITY\":\"7\"'"
check "the same in /var/log/syslog" wait_for 10 "grep 'haywaind\[$pid\]: device count: online' /var/log/syslog"
check_sh "nothing is repeated each poll" "[ \$(journalctl -u haywain HAYWAIN_DEVICE=count -o cat | wc -l) -le 4 ]"

# ---- the local API and the tool: for the group, and nobody else ----
useradd --no-create-home --groups haywain-admin insider
useradd --no-create-home --groups haywain-read looker
useradd --no-create-home outsider
as() { # user, command...
	user=$1
	shift
	runuser -u "$user" -- "$@"
}
refused_in_one_line() {
	as outsider haywain status >/tmp/refused 2>&1
	status=$?
	cat /tmp/refused
	[ $status = 1 ] && [ "$(wc -l </tmp/refused)" = 1 ] && grep -q 'permission denied: .*group haywain-read (sudo adduser outsider haywain-read' /tmp/refused
}
broken_scan() { # exit status 1, with what the port said
	as insider haywain scan modbus identify tcp://127.0.0.1:1 1 >/tmp/scan 2>&1
	status=$?
	cat /tmp/scan
	[ $status = 1 ] && grep -qi 'refused' /tmp/scan
}
no_secret() {
	haywain diag /tmp/bundle.tar.gz && mkdir /tmp/bundle && tar -xzf /tmp/bundle.tar.gz -C /tmp/bundle && ls /tmp/bundle &&
		[ -s /tmp/bundle/status.json ] && [ -s /tmp/bundle/log.txt ] && grep -q 'name = "local"' /tmp/bundle/haywain.conf &&
		! grep -rl -e swing -e tower -e '"gate"' /tmp/bundle
}
check_sh "the API's socket is 0660 haywain:haywain-admin" '[ "$(stat -c %a:%U:%G /run/haywain/api.sock)" = 660:haywain:haywain-admin ]'
check_sh "the one for reading is 0660 haywain:haywain-read" '[ "$(stat -c %a:%U:%G /run/haywain/read.sock)" = 660:haywain:haywain-read ]'
check "who is in haywain-read may look" as looker haywain status
refused_to_looker() { # command...
	as looker haywain "$@" >/tmp/refused 2>&1
	status=$?
	cat /tmp/refused
	[ $status = 1 ] && grep -q 'permission denied: .*group haywain-admin (sudo adduser looker haywain-admin' /tmp/refused
}
check "but not reload" refused_to_looker reload
check "nor write" refused_to_looker write absent x 1
check "nor purge" refused_to_looker queue purge --yes
check_sh "nor read a secret" '! runuser -u looker -- cat /etc/haywain/local.password && ! runuser -u insider -- cat /etc/haywain/local.password'
check "who is in haywain-admin may look" as insider haywain status
check "who is in neither is told so in one line" refused_in_one_line
check "who is in haywain-admin may change something" sh -c "runuser -u insider -- haywain reload | grep reloaded"
check "and the log says who" wait_for 10 "journalctl -u haywain -o cat | grep \"local API, user $(id -u insider), process [0-9]*: reload: done\""
check "the ports are listed" as insider haywain scan serial
check "a scan where the daemon has the port is the daemon's" broken_scan
check "and the log says of which link" wait_for 10 "journalctl -u haywain HAYWAIN_LINK=nobody -o cat | grep 'is being scanned'"
# What a careless owner has written.
cat >>/etc/haywain/haywain.conf <<'END'
# once: url = "mqtt://gate:swing@localhost"; password = "swing"
END
check "the bundle for a bug report holds no secret" no_secret
rm -r /tmp/bundle /tmp/bundle.tar.gz

# ---- it dies, it hangs ----
systemctl kill -s KILL haywain
check "killed: starts again" new_process 20 "$pid"
mkdir -p /etc/systemd/system/haywain.service.d
# As in the unit, but in less time.
printf '[Service]\nWatchdogSec=3\nTimeoutAbortSec=2\nRestartSec=1\n' >/etc/systemd/system/haywain.service.d/hurry.conf
systemctl daemon-reload
systemctl restart haywain
pid=$(property MainPID)
systemctl kill -s STOP haywain
check "hangs: the watchdog ends it, and it starts again" new_process 40 "$pid"
check_sh "the journal tells of the watchdog" "journalctl -u haywain -o cat | grep -i 'watchdog timeout'"
pid=$(property MainPID)
for _ in 1 2 3 4 5 6; do
	systemctl kill -s KILL haywain
	new_process 20 "$pid" >/dev/null
	pid=$(property MainPID)
done
systemctl kill -s KILL haywain
check "killed seven times in a row: is not given up" new_process 20 "$pid"
rm /etc/systemd/system/haywain.service.d/hurry.conf
systemctl daemon-reload
cp /etc/haywain/haywain.conf /tmp/good.conf
echo 'quueue: {};' >>/etc/haywain/haywain.conf
systemctl restart haywain
check "a configuration it cannot use: exit status 78" wait_for 20 "[ \$(systemctl show -P ExecMainStatus haywain) = 78 ] && systemctl is-failed haywain"
restarts=$(property NRestarts)
check "and it is not started again" sh -c "sleep 7; [ \$(systemctl show -P NRestarts haywain) = $restarts ] && systemctl is-failed haywain"
cat /tmp/good.conf >/etc/haywain/haywain.conf
check "mended: starts" systemctl start haywain

# ---- a secret from systemd ----
install -d /etc/credstore 2>/dev/null || mkdir -p /etc/credstore
(umask 077 && mv /etc/haywain/local.password /etc/credstore/local.password && chown root:root /etc/credstore/local.password &&
	chmod 600 /etc/credstore/local.password)
printf '[Service]\nLoadCredential=local.password:/etc/credstore/local.password\n' >/etc/systemd/system/haywain.service.d/secrets.conf
systemctl daemon-reload
systemctl restart haywain
check "connects with a credential that root alone can read" wait_for 20 "systemctl show -P StatusText haywain | grep 'local connected'"

# ---- the broker is away, and meanwhile it is upgraded ----
# As 0.1.0 told people to.
useradd --no-create-home --groups haywain oldtimer
systemctl stop mosquitto
check "without a broker readings are queued on disk" wait_for 20 "[ \$(systemctl show -P StatusText haywain | sed 's/.*queue //') -gt 30 ]"
pid=$(property MainPID)
check "upgrade" install -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold /acceptance/next.deb
check "the new one runs" new_process 20 "$pid"
check_sh "people who were in the group haywain are in haywain-read now" "id -nG oldtimer | grep -w haywain-read && ! id -nG oldtimer | grep -wE 'haywain(\$| )'"
check "and go on looking" as oldtimer haywain status
check_sh "the version is the new one" "dpkg-query -W -f '\${Version}' haywain | grep next"
check "the edited configuration is kept" grep -qx '# edited by its owner' /etc/haywain/haywain.conf
check_sh "its owner and mode are kept" '[ "$(stat -c %a:%U:%G /etc/haywain/haywain.conf)" = 640:root:haywain ]'
check "the delivered one lies beside it" grep -q 'the next version says more' /etc/haywain/haywain.conf.dpkg-dist
check "the queue is kept" wait_for 20 "[ \$(systemctl show -P StatusText haywain | sed 's/.*queue //') -gt 60 ]"
systemctl start mosquitto
check "the queue goes up" wait_for 60 "systemctl show -P StatusText haywain | grep 'local connected, queue [0-2]\$'"
systemctl stop haywain
# shellcheck disable=SC2086
mosquitto_sub $subscriber -t '#' -W 5 -F '%t %p' >/tmp/readings 2>/dev/null
# `n` counts up by one in each process and begins at 0 in the next: an exact account of what arrived.
check "no reading is missing" awk '
	$1 == "haywain/acceptance/data/count" && match($0, /"n":[0-9]+/) {
		n = substr($0, RSTART + 4, RLENGTH - 4) + 0
		match($0, /"seq":[0-9]+/); seq = substr($0, RSTART + 6, RLENGTH - 6)
		if (seq in seen) next
		seen[seq] = 1
		if (n == 0) runs++
		else if (n != last + 1) { print "after " last " comes " n; bad = 1 }
		last = n; count++
	}
	END { print count " readings in " runs " runs"; exit bad || count < 100 || runs < 4 }' /tmp/readings
sed 's/^/        /' /tmp/output

# ---- removed, purged, installed again ----
systemctl start haywain
check "remove" apt-get remove -y -o Dpkg::Use-Pty=0 haywain
check_sh "removed: stopped, gone, configuration and queue are there" '! systemctl -q is-active haywain && [ ! -e /usr/sbin/haywaind ] &&
	[ -f /etc/haywain/haywain.conf ] && [ -f /etc/haywain/conf.d/made-up.conf ] && [ -f /var/lib/haywain/queue.db ]'
check "purge" dpkg --purge haywain
rm -r /etc/systemd/system/haywain.service.d
check_sh "purged: nothing is left" '[ ! -e /etc/haywain ] && [ ! -e /var/lib/haywain ] && [ ! -e /run/haywain ] &&
	[ -z "$(find /etc/systemd /usr/lib /usr/share -name "haywain*")" ]'
check "installs again" install /acceptance/next.deb
check "active again" systemctl is-active haywain
check_sh "no unit has failed" '! systemctl list-units --state=failed --no-legend --plain | grep .'

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
