/* SPDX-License-Identifier: Apache-2.0 */
/* haywaind --probe serial [PORT [--baud N] [--seconds N]]: list the ports, or listen to one and say what it speaks. */
#include "guess.h"
#include "serial.h"
#include <dirent.h>
#include <errno.h>
#include <libserialport.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BY_ID "/dev/serial/by-id"
#define TTYS "/sys/class/tty"
#define HEARD_MAX 65536
#define ENOUGH_NOISE 300 /* bytes that are no text: another baud rate */

/* ---- which ports there are ---- */

/* The link in by-id that names this device; NULL: none. To be freed. */
static char *find_by_id(const char *device)
{
	char *real = realpath(device, NULL), *found = NULL;
	DIR *dir = opendir(BY_ID);
	struct dirent *entry;

	if (!dir) {
		free(real);
		return NULL;
	}
	while (real && !found && (entry = readdir(dir))) {
		char *path, *target;

		if (entry->d_name[0] == '.' || asprintf(&path, BY_ID "/%s", entry->d_name) < 0)
			continue;
		target = realpath(path, NULL);
		if (target && strcmp(target, real) == 0)
			found = path;
		else
			free(path);
		free(target);
	}
	closedir(dir);
	free(real);
	return found;
}

static void print_port(const struct hay_probe *probe, const struct sp_port *port)
{
	const char *name = sp_get_port_name(port), *text = sp_get_port_description(port);
	const char *maker = sp_get_port_usb_manufacturer(port), *serial = sp_get_port_usb_serial(port);
	char *by_id = find_by_id(name);
	int vendor, product;

	probe->print(probe, "%s%s%s", name, text && *text ? "  " : "", text ? text : "");
	if (sp_get_port_transport(port) == SP_TRANSPORT_USB &&
	    sp_get_port_usb_vid_pid(port, &vendor, &product) == SP_OK)
		probe->print(probe, "    USB %04x:%04x%s%s%s%s", vendor, product, maker ? ", " : "", maker ? maker : "",
			     serial ? ", serial number " : "", serial ? serial : "");
	if (by_id)
		probe->print(probe, "    %s", by_id);
	free(by_id);
}

/* In a container the kernel tells of ports that have no file there, and libserialport's list fails whole: one by
   one. */
static int print_each(const struct hay_probe *probe, size_t *ret_n)
{
	DIR *dir = opendir(TTYS);
	struct dirent *entry;
	size_t n = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		struct sp_port *port = NULL;
		char *hardware, *path;

		if (entry->d_name[0] == '.' || asprintf(&hardware, TTYS "/%s/device", entry->d_name) < 0)
			continue;
		if (access(hardware, F_OK) == 0 && asprintf(&path, "/dev/%s", entry->d_name) >= 0) {
			if (sp_get_port_by_name(path, &port) == SP_OK) {
				print_port(probe, port);
				sp_free_port(port);
				n++;
			}
			free(path);
		}
		free(hardware);
	}
	closedir(dir);
	*ret_n = n;
	return 0;
}

static int list_ports(const struct hay_probe *probe)
{
	struct sp_port **ports = NULL;
	size_t n = 0;
	int r = 0;

	if (sp_list_ports(&ports) == SP_OK) {
		for (; ports[n]; n++)
			print_port(probe, ports[n]);
		sp_free_port_list(ports);
	} else {
		r = print_each(probe, &n);
	}
	if (r < 0)
		probe->print(probe, "the ports cannot be listed: %s", strerror(-r));
	else if (n == 0)
		probe->print(probe, "there is no serial port");
	else
		probe->print(probe, "haywaind --probe serial PORT listens to one of them");
	return r;
}

/* ---- listening ---- */

struct serial_heard {
	uint8_t bytes[HEARD_MAX];
	size_t size;
	unsigned baud;
	struct guess guess;
};

/* At one baud rate, until it is sure or the time is over. -errno: the port cannot be opened, or is gone. */
static int listen_at(const struct hay_probe *probe, const char *path, unsigned baud, unsigned seconds,
		     struct serial_heard *heard)
{
	struct port_rules rules = {.path = path, .baud = baud, .mode = {8, 'N', 1}, .dtr = true};
	uint64_t end = hay_now() + seconds * USEC_PER_SEC;
	struct port_said said;
	int fd = port_open(&rules, &said), r = 0;

	if (fd < 0) {
		probe->print(probe, "%s", said.text);
		return fd;
	}
	heard->size = 0;
	heard->baud = baud;
	while (!probe->cancelled(probe) && hay_now() < end && heard->size < HEARD_MAX) {
		struct pollfd state = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (poll(&state, 1, 100) <= 0)
			continue;
		n = read(fd, heard->bytes + heard->size, HEARD_MAX - heard->size);
		if (n <= 0) {
			if (n < 0 && (errno == EAGAIN || errno == EINTR))
				continue;
			probe->print(probe, "%s: unplugged", path);
			r = -EIO;
			break;
		}
		heard->size += (size_t)n;
		guess_make(heard->bytes, heard->size, &heard->guess);
		if (guess_is_sure(&heard->guess) || (heard->size > ENOUGH_NOISE && heard->guess.printable < 80))
			break;
	}
	guess_make(heard->bytes, heard->size, &heard->guess);
	port_close(fd);
	return r;
}

static unsigned rate_heard(const struct serial_heard *heard)
{
	if (heard->size == 0)
		return 0;
	if (heard->guess.is_sml)
		return UINT_MAX;
	return 1 + heard->guess.printable + (heard->guess.n_lines > 0 ? 100 : 0) + 2 * heard->guess.score;
}

/* ---- saying what it is ---- */

static const char *const decode_names[] = {"json", "csv", "keyvalue", "regex", "nmea", "binary", "obis", "sml"};

/* A text of the line inside quotes of the configuration. */
static void quote_text(struct text text, char *into, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < text.size && n + 3 < size; i++) {
		if (text.data[i] == '"' || text.data[i] == '\\')
			into[n++] = '\\';
		into[n++] = (uint8_t)text.data[i] < 0x20 ? ' ' : text.data[i];
	}
	into[n] = 0;
}

static bool is_name(struct text text)
{
	for (size_t i = 0; i < text.size; i++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-", text.data[i]))
			return false;
	return text.size > 0 && text.size <= 64;
}

static void print_points(const struct hay_probe *probe, const struct serial_record *record)
{
	size_t n = 0, left = 0;

	for (size_t i = 0; i < record->n; i++)
		left += !record->items[i].hidden;
	for (size_t i = 0; i < record->n; i++) {
		const struct serial_item *item = &record->items[i];
		enum hay_type type = item_natural_type(item);
		const char *comma = --left > 0 && !item->hidden ? "," : "";
		char field[512];

		if (item->hidden) {
			left++;
			continue;
		}
		n++;
		quote_text(item->name, field, sizeof(field));
		if (is_name(item->name))
			probe->print(probe, "      { name = \"%s\";%s }%s", field,
				     type == HAY_STRING ? " type = \"string\";"
				     : type == HAY_BOOL ? " type = \"bool\";"
							: "",
				     comma);
		else
			probe->print(probe, "      { name = \"value%zu\"; field = \"%s\";%s }%s", n, field,
				     type == HAY_STRING ? " type = \"string\";"
				     : type == HAY_BOOL ? " type = \"bool\";"
							: "",
				     comma);
	}
}

static void print_block(const struct hay_probe *probe, const char *path, const struct serial_heard *heard)
{
	const struct guess *guess = &heard->guess;
	char *by_id = find_by_id(path), error[DECODE_ERROR_MAX];
	struct decode_rules rules;
	struct serial_record record = {0};
	struct decoder *decoder = NULL;
	const char *why;

	probe->print(probe, "links: (");
	probe->print(probe, "  { name = \"line\"; plugin = \"serial\"; port = \"%s\"; baud = %u;", by_id ? by_id : path,
		     heard->baud);
	probe->print(probe, "    frame = \"line\";%s decode = \"%s\";%s%s%s%s%s%s }",
		     guess->only_returns ? " delimiter = \"\\r\";" : "", decode_names[guess->decode],
		     guess->separator ? " separator = \"" : "", guess->separator ? guess->separator : "",
		     guess->separator ? "\";" : "", guess->comma ? " decimal = \",\";" : "",
		     guess->header ? " header = true;" : "",
		     guess->decode != DECODE_REGEX ? ""
		     : guess->sign_apart	   ? " pattern = \"(?<value>(?:^[ ]*[-+] *|-)?[0-9]([0-9.,]*[0-9])?)\";"
						   : " pattern = \"(?<value>-?[0-9]([0-9.,]*[0-9])?)\";");
	probe->print(probe, ");");
	probe->print(probe, "devices: (");
	probe->print(probe, "  { name = \"board\"; link = \"line\";");
	guess_rules(guess, &rules);
	rules.header = false;
	if (guess->decode != DECODE_REGEX && !guess->header && record_init(&record, 65536) == 0 &&
	    decoder_new(&rules, &decoder, error) == 0 &&
	    decoder_run(decoder, (const uint8_t *)guess->line.data, guess->line.size, &record, &why) == DECODED) {
		probe->print(probe, "    points: (");
		print_points(probe, &record);
		probe->print(probe, "    ); }");
	} else if (guess->decode == DECODE_REGEX) {
		probe->print(probe, "    points: ( { name = \"value\"; } ); }");
	} else {
		probe->print(probe, "  }");
	}
	probe->print(probe, ");");
	if (decoder)
		decoder_clear(decoder, &record);
	decoder_free(decoder);
	record_done(&record);
	free(by_id);
}

static void print_sml(const struct hay_probe *probe, const char *path, const struct serial_heard *heard)
{
	char *by_id = find_by_id(path);

	probe->print(probe, "# %s, at %u baud: SML, as meters speak it; every value becomes a point", path,
		     heard->baud);
	probe->print(probe, "links: (");
	probe->print(
		probe,
		"  { name = \"line\"; plugin = \"serial\"; port = \"%s\"; baud = %u; frame = \"sml\"; decode = \"sml\"; }",
		by_id ? by_id : path, heard->baud);
	probe->print(probe, ");");
	probe->print(probe, "devices: ( { name = \"meter\"; link = \"line\"; } );");
	free(by_id);
}

static void print_bytes(const struct hay_probe *probe, const struct serial_heard *heard)
{
	for (size_t at = 0; at < heard->size && at < 64; at += 16) {
		char hex[3 * 16 + 1] = "";

		for (size_t i = at; i < at + 16 && i < heard->size; i++)
			snprintf(hex + 3 * (i - at), 4, "%02x ", heard->bytes[i]);
		probe->print(probe, "#   %s", hex);
	}
}

static int print_result(const struct hay_probe *probe, const char *path, const struct serial_heard *heard)
{
	const struct guess *guess = &heard->guess;
	char line[256];

	if (heard->size == 0) {
		probe->print(probe, "%s said nothing: it may wait for a request, or speak at a baud rate not tried",
			     path);
		return -ENODATA;
	}
	if (guess->is_sml) {
		print_sml(probe, path, heard);
		return 0;
	}
	if (guess->printable < 90 || guess->n_lines == 0) {
		probe->print(probe, "# %s, at %u baud: %zu bytes, and no lines of text among them:", path, heard->baud,
			     heard->size);
		print_bytes(probe, heard);
		probe->print(
			probe,
			"# its manual says how they are framed (frame = \"fixed\", \"length-prefixed\", \"stx-etx\" or \"idle\", decode = \"binary\")");
		return -ENODATA;
	}
	snprintf(line, sizeof(line), "%.*s", (int)guess->line.size, guess->line.data);
	for (char *at = line; *at; at++)
		if ((unsigned char)*at < 0x20)
			*at = ' '; /* what a terminal would obey */
	probe->print(probe, "# %s, at %u baud: %zu lines, %u %% of them %s; one of them:", path, heard->baud,
		     guess->n_lines, guess->score, guess->score > 0 ? decode_names[guess->decode] : "decoded");
	probe->print(probe, "#   %s", line);
	if (guess->one_or_two)
		probe->print(
			probe,
			"# two columns, or one number with a decimal comma? If it is one: separator = \";\"; decimal = \",\";");
	if (guess->decode == DECODE_REGEX)
		probe->print(probe, "# no decoder fits: the pattern below takes the first number, write a better one");
	print_block(probe, path, heard);
	return 0;
}

static int listen_to(const struct hay_probe *probe, const char *path, unsigned baud, unsigned seconds)
{
	static const unsigned bauds[] = {115200, 9600,	 57600,	 38400,	 19200, 4800,
					 2400,	 230400, 460800, 921600, 1200,	300};
	unsigned total = baud ? 1 : sizeof(bauds) / sizeof(bauds[0]);
	struct serial_heard *heard = calloc(2, sizeof(*heard)); /* this one, the best one */
	int r = heard ? 0 : -ENOMEM;

	for (unsigned i = 0; i < total && r == 0 && !probe->cancelled(probe); i++) {
		char what[64];

		snprintf(what, sizeof(what), "listening at %u baud", baud ? baud : bauds[i]);
		probe->progress(probe, i + 1, total, what);
		r = listen_at(probe, path, baud ? baud : bauds[i], seconds, &heard[0]);
		if (rate_heard(&heard[0]) <= rate_heard(&heard[1]))
			continue;
		heard[1] = heard[0];
		heard[1].guess.line.data = NULL;
		guess_make(heard[1].bytes, heard[1].size, &heard[1].guess);
		if (guess_is_sure(&heard[1].guess))
			break;
	}
	if (r == 0)
		r = print_result(probe, path, &heard[1]);
	free(heard);
	return r;
}

static bool read_number(const char *text, unsigned max, unsigned *ret)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value == 0 || value > max)
		return false;
	*ret = (unsigned)value;
	return true;
}

int serial_probe(const struct hay_probe *probe)
{
	unsigned baud = 0, seconds = 3;
	const char *path = NULL;
	bool wrong = false;

	for (int i = 0; i < probe->argc && !wrong; i++) {
		const char *argument = probe->argv[i], *value = i + 1 < probe->argc ? probe->argv[i + 1] : "";

		if (strcmp(argument, "--baud") == 0)
			wrong = !read_number(value, 12000000, &baud), i++;
		else if (strcmp(argument, "--seconds") == 0)
			wrong = !read_number(value, 3600, &seconds), i++;
		else if (argument[0] == '-' || path)
			wrong = true;
		else
			path = argument;
	}
	if (wrong || (!path && (baud || probe->argc > 0))) {
		probe->print(probe, "usage: haywaind --probe serial");
		probe->print(probe, "           list the ports");
		probe->print(probe, "       haywaind --probe serial PORT [--baud N] [--seconds N]");
		probe->print(probe, "           listen to one; N seconds (3) at each baud rate");
		return -EINVAL;
	}
	return path ? listen_to(probe, path, baud, seconds) : list_ports(probe);
}
