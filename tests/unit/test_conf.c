/* SPDX-License-Identifier: Apache-2.0 */
#include "base/conf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* All messages as "LINE: text\n". */
static char *lines_of(struct conf_messages *messages)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (struct conf_message *message = messages->first; message; message = message->next)
		fprintf(out, "%u: %s%s\n", message->line, message->warning ? "warning: " : "", message->text);
	fclose(out);
	conf_messages_done(messages);
	return text;
}

static struct conf_file *parse(const char *text, struct conf_messages *messages)
{
	struct conf_file *file = NULL;

	conf_file_parse_text("t.conf", NULL, text, strlen(text), messages, &file);
	return file;
}

static void expect(const char *text, const char *lines)
{
	struct conf_messages messages = {0};
	struct conf_file *file = parse(text, &messages);
	char *found = lines_of(&messages);

	assert_string_equal(found, lines);
	assert_true((file == NULL) == (*lines != '\0'));
	conf_file_free(file);
	free(found);
}

/* ---- syntax ---- */

static void good_text_is_good(void **state _unused_)
{
	expect("", "");
	expect("a = 1\nb: 2; c = 0x7FFFFFFF, d = 5000000000L; e = 1.5e3; f = TRUE;", "");
	expect("a: { b = ( { c = 1 }, [ 1, 2 ], \"x\" \"y\" ) }; // comment\n# another\n/* and\n one */ b = ();", "");
	expect("a = \"quote \\\" in it\"; b = -2147483648; c = 0xFFFFFFFFL; d = .5; e = 1e6;\r\n", "");
	expect("a = \"°C\"; # \xb0 in a comment is nobody's business\n", "");
}

static void commas(void **state _unused_)
{
	expect("a = ( 1, 2, );", "1: a `,` too many: nothing follows it before the `)`\n");
	expect("a = (\n  { b = 1; }\n  { b = 2; }\n);", "2: a `,` is missing after this\n");
	expect("a = ( 1, , 2 );", "1: a `,` too many: there is no value before it\n");
	expect("a = ( 1; 2 );", "1: a `;` where a `,` belongs\n");
	expect("a = 1;;", "1: a `;` too many\n");
	/* The comment of an INI file. */
	expect("; my gateway\na = 1;", "1: a `;` too many: a comment begins with #\n");
}

static void quotes(void **state _unused_)
{
	expect("a = \"x;\nb = 2;\n", "1: the quote is not closed: a text begins and ends with \" on one line\n");
	expect("a: { b = \"x; };\nc = 1;", "1: the quote is not closed: a text begins and ends with \" on one line\n");
	/* It said that `tcp` had no value. */
	expect("a: { b = \"x; c = \"tcp://h\"; };\nd = 1;",
	       "1: a `\"` is missing: the text \"x; c = \" runs into `tcp`\n");
	expect("a = \"x\"b = 1; c = \"y\" \"z\"", "");
	expect("every = 10s;", "1: 10s makes no sense here: a text needs quotes, \"10s\"\n");
	expect("port = /dev/ttyUSB0;", "1: /dev/ttyUSB0 makes no sense here: a text needs quotes, \"/dev/ttyUSB0\"\n");
	expect("link = rs485;", "1: rs485 makes no sense here: a text needs quotes, \"rs485\"\n");
	expect("on = yes;", "1: yes makes no sense here: write true or false\n");
	expect("/* x\n\n", "1: the comment is not closed: */ is missing\n");
}

static void brackets(void **state _unused_)
{
	expect("a: {\n b = 1;\n", "1: the `{` is not closed: `}` is missing before the end of the file\n");
	expect("a: (\n { b = 1; }\nc = 2;", "1: the `(` is not closed: `)` is missing before line 3\n");
	expect("a: ( {\n b = 1;\n);", "1: the `{` is not closed: `}` is missing before line 3\n");
	expect("a = 1;\n};\nb = 2;", "2: a `}` too many: nothing is open here\n");
	expect("a: [ { b = 1; } ];", "1: `[ ]` holds plain values: a list of groups is written ( … )\n");
	expect("a: ( b = 1 );", "1: a group is written { … }, a list of groups ( { … }, { … } )\n");
	expect("a: ( 1, b = 1 );", "1: `b` needs braces around it: ( { b = …; } )\n");
	expect("a: (\n b = \"x\";\n c = 1;\n);\nd = 1;",
	       "1: a group is written { … }, a list of groups ( { … }, { … } )\n");
	expect("a = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]];",
	       "1: `[ ]` holds plain values: a list of groups is written ( … )\n");
	expect("a = ((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))));",
	       "1: the brackets are nested deeper than 32\n");
}

/* One bracket too many is one line, wherever it stands and whatever is open there. */
static void strays(void **state _unused_)
{
	expect("a: (\n { b = 1; } },\n { c = 1; }\n);\nd = 1;", "2: a `}` too many: the `(` of line 1 is still open\n");
	expect("a: (\n { b: ( { c = 1; }\n } ); },\n { c = 1; }\n);\nd = 1;",
	       "3: a `}` too many: the `(` of line 2 is still open\n");
	expect("a: {\n b = 1; );\n c = 2; };\nd = 1;", "2: a `)` too many: the `{` of line 1 is still open\n");
	expect("a: (\n { b = 1; } ] );\nd = 1;", "2: a `]` too many: the `(` of line 1 is still open\n");
	/* One too few is told where it was opened, as before. */
	expect("a: (\n { b: ( { c = 1; } },\n { c = 1; }\n);\nd = 1;",
	       "2: the `(` is not closed: `)` is missing before line 2\n");
}

/* What comes along with a word processor, a phone or another country's keyboard. */
static void foreign_marks(void **state _unused_)
{
	expect("a = “x y”;\nb = „x“; c = «x»; d = ’x’;",
	       "1: wrong quotes: a text is written in straight double quotes, \"x y\"\n"
	       "2: wrong quotes: a text is written in straight double quotes, \"x\"\n");
	expect("a: { b = 'x'; };", "1: wrong quotes: a text is written in straight double quotes, \"x\"\n");
	expect("a: { b = “x; };", "1: wrong quotes: a text is written in straight double quotes, \"x\"\n");
	expect("a: { b = “x\"; };", "1: wrong quotes: a text is written in straight double quotes, \"x\"\n");
	expect("a: { b = \"x”; };\nc = 1;", "1: the text ends with ”, which is not a quote here: use \"\n");
	expect("a = \"it’s “so” 'quoted'\";", "");
	expect("a: { b = 0,1; c = 2; };", "1: a comma in a number: write 0.1, not 0,1\n");
	expect("a = 0,1", "1: a comma in a number: write 0.1, not 0,1\n");
	expect("a = [0,1]; b = 0, c = 1", "");
}

static void keys(void **state _unused_)
{
	expect("name \"x\";", "1: a `=` is missing after `name`\n");
	expect("a = ;\nb = 1;", "1: `a` has no value\n");
	expect("a =\nb = 1;", "1: `a` has no value\n");
	expect("a = 1;\nb = 2;\na = 3;", "3: `a` is defined twice in one group; first defined at t.conf:1\n");
	expect("5 = 3;", "1: a key belongs here, not 5\n");
}

#define WIDE "; a time or a size has a unit, like \"5s\" or \"4KB\"\n"

static void all_mistakes_are_told(void **state _unused_)
{
	expect("a = 1s;\nb = ( 1, );\nc = 99999999999;\nd: {\n",
	       "1: 1s makes no sense here: a text needs quotes, \"1s\"\n"
	       "2: a `,` too many: nothing follows it before the `)`\n"
	       "3: 99999999999 does not fit 32 bits: write 99999999999L" WIDE
	       "4: the `{` is not closed: `}` is missing before the end of the file\n");
}

static void large_numbers(void **state _unused_)
{
	expect("a = 5000000000;", "1: 5000000000 does not fit 32 bits: write 5000000000L" WIDE);
	expect("a = -2147483649;", "1: -2147483649 does not fit 32 bits: write -2147483649L" WIDE);
	expect("a = 0x80000000;", "1: 0x80000000 does not fit 32 bits: write 0x80000000L" WIDE);
	expect("a = 0x8000000000000000L;",
	       "1: 0x8000000000000000L does not fit 64 bits: a whole number is at most 9223372036854775807\n");
	expect("a = 99999999999999999999;",
	       "1: 99999999999999999999 does not fit 64 bits: a whole number is at most 9223372036854775807\n");
	expect("a = 1e999;", "1: 1e999 does not fit a float64\n");
	expect("a = \"5000000000\"; # 5000000000\n/* 0xFFFFFFFFFF */", "");
}

static void encodings(void **state _unused_)
{
	struct conf_messages messages = {0};
	struct conf_file *file = NULL;
	char *found;

	expect("a = \"\xb0"
	       "C\";",
	       "1: this text is not UTF-8: save the file as UTF-8\n");
	expect("\xef\xbb\xbf"
	       "a = 1;",
	       ""); /* harmless, and few editors can take it away */
	expect("a = 1;\n\xef\xbb\xbf"
	       "b = 2;",
	       "2: invisible character: a byte order mark (U+FEFF); delete it, or replace it with a space\n");
	expect("a = 1;\n\xc2\xa0 b =\xc2\xa0"
	       "2\xe2\x80\x8b;",
	       "2: invisible character: a no-break space (U+00A0); delete it, or replace it with a space\n"
	       "2: invisible character: a zero-width space (U+200B); delete it, or replace it with a space\n");
	expect("a = 1;\r b = 2;\r",
	       "1: this file has old Mac line endings (CR): save it with Unix line endings (LF)\n");
	expect("[gateway]\nid = \"x\"",
	       "1: this looks like TOML or INI: here a section is written gateway: { id = \"…\"; };\n");
	expect("{ \"gateway\": { \"id\": \"x\" } }",
	       "1: this looks like JSON: here a section is written gateway: { id = \"…\"; };\n");
	expect("a: { \"b\": 1 };", "1: a key is written without quotes: b\n");
	expect("include \"x.conf\"", "1: write @include \"x.conf\"\n");
	expect("a: ( 1 );\nb = 1;\na: ( 2 );",
	       "3: `a` is defined twice; first defined at t.conf:1: merge the two lists, or move one to a file in conf.d\n");
	assert_int_equal(conf_file_parse_text("t.conf", NULL, "a\0b", 3, &messages, &file), -EBADMSG);
	found = lines_of(&messages);
	assert_string_equal(found, "1: not a text file: it contains a zero byte\n");
	free(found);
	expect("@include \"x.conf\"\n", "1: @include is not allowed here\n");
}

/* ---- files ---- */

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static void includes(void **state _unused_)
{
	char dir[] = "/tmp/haywain-conf-XXXXXX", path[256], expected[600];
	struct conf_messages messages = {0};
	struct conf_file *file = NULL;
	struct conf_group root;
	char *found;

	assert_non_null(mkdtemp(dir));
	write_file(dir, "main.conf", "a = 1;\n@include \"more.conf\"\nc = 3;\n");
	write_file(dir, "more.conf", "\nb = 2;\n");
	snprintf(path, sizeof(path), "%s/main.conf", dir);
	assert_int_equal(conf_file_read(path, &messages, &file), 0);
	root = conf_group_of(conf_file_root(file));
	assert_string_equal(conf_setting_file(conf_group_get(&root, "a")), path);
	assert_int_equal(conf_setting_line(conf_group_get(&root, "c")), 3);
	snprintf(path, sizeof(path), "%s/more.conf", dir);
	assert_string_equal(conf_setting_file(conf_group_get(&root, "b")), path);
	assert_int_equal(conf_setting_line(conf_group_get(&root, "b")), 2);
	conf_file_free(file);

	write_file(dir, "main.conf",
		   "@include \"gone.conf\"\n@include \"/etc/x.conf\"\n@include \"more.conf\"\nb = 3;\n x = 1; @include "
		   "\"more.conf\"\n");
	snprintf(path, sizeof(path), "%s/main.conf", dir);
	assert_int_equal(conf_file_read(path, &messages, &file), -EBADMSG);
	found = lines_of(&messages);
	snprintf(expected, sizeof(expected),
		 "1: the included file %s/gone.conf cannot be read: No such file or directory\n"
		 "2: @include takes a path relative to this file, not /etc/x.conf\n"
		 "4: `b` is defined twice in one group; first defined at %s/more.conf:2\n"
		 "5: @include must begin a line\n",
		 dir, dir);
	assert_string_equal(found, expected);
	free(found);

	write_file(dir, "main.conf", "@include \"main.conf\"\n@include \"main.conf\"\n");
	assert_int_equal(conf_file_read(path, &messages, &file), -EBADMSG);
	found = lines_of(&messages);
	assert_string_equal(found, "1: @include is nested deeper than 10 files: does a file include itself?\n");
	free(found);

	assert_int_equal(conf_file_read("/nonexistent/x.conf", &messages, &file), -ENOENT);
	found = lines_of(&messages);
	assert_string_equal(found, "0: this file cannot be read: No such file or directory\n");
	free(found);
	snprintf(path, sizeof(path), "rm -r %s", dir);
	assert_int_equal(system(path), 0);
}

/* ---- walking ---- */

struct inner {
	const char *ca_file;
	int64_t depth;
};

struct values {
	bool on;
	int64_t baud;
	double scale;
	const char *text, *any, *name, *secret;
	int flow;
	uint64_t timeout_us, size;
	double rate;
	struct inner tls;
};

static const char *const flows[] = {"none", "rtscts", "xonxoff", NULL};
static const struct hay_option inner_options[] = {
	{.key = "ca_file", .type = HAY_OPT_STRING, .offset = offsetof(struct inner, ca_file), .fallback = "system"},
	{.key = "depth", .type = HAY_OPT_INT, .offset = offsetof(struct inner, depth)},
	{.key = NULL},
};
#define AT(member) .offset = offsetof(struct values, member)
static const struct hay_option options[] = {
	{.key = "on", .type = HAY_OPT_BOOL, AT(on)},
	{.key = "baud", .type = HAY_OPT_INT, AT(baud), .fallback = "9600", .min = 50, .max = 4000000},
	{.key = "scale", .type = HAY_OPT_FLOAT, AT(scale), .fallback = "0.1"},
	{.key = "text", .type = HAY_OPT_STRING, AT(text), .fallback = "8N1"},
	{.key = "any", .type = HAY_OPT_STRING, AT(any), .flags = HAY_OPT_NUMBER_OK},
	{.key = "name", .type = HAY_OPT_NAME, AT(name), .flags = HAY_OPT_REQUIRED, .help = "what it is called"},
	{.key = "key_file", .type = HAY_OPT_SECRET, AT(secret)},
	{.key = "flow", .type = HAY_OPT_CHOICE, AT(flow), .fallback = "rtscts", .choices = flows},
	{.key = "timeout", .type = HAY_OPT_DURATION, AT(timeout_us), .fallback = "1s", .min = 1000, .max = 60000000},
	{.key = "size", .type = HAY_OPT_SIZE, AT(size), .fallback = "4KB", .min = 1, .max = INT64_MAX},
	{.key = "rate", .type = HAY_OPT_RATE, AT(rate)},
	{.key = "tls", .type = HAY_OPT_GROUP, AT(tls), .group = inner_options},
	{.key = NULL},
};

static void walk(const char *text, struct values *values, struct pool *pool, const char *lines)
{
	static const char *const others[] = {"points", NULL};
	struct conf_messages messages = {0};
	struct conf_file *file = parse(text, &messages);
	struct conf_part part = {.table = options, .into = values};
	struct conf_group group;
	unsigned n_errors, n_told;
	char *found;

	assert_non_null(file);
	group = conf_group_of(conf_file_root(file));
	n_errors = conf_read_group(&group, "thing", &part, 1, others, pool, &messages);
	n_told = messages.n_errors;
	found = lines_of(&messages);
	assert_string_equal(found, lines);
	assert_int_equal(n_errors, n_told);
	free(found);
	conf_file_free(file);
}

static void values_are_read(void **state _unused_)
{
	struct pool *pool = pool_new();
	struct values values = {0};

	walk("name = \"n.1\"; points = (); tls: { };", &values, pool, "");
	assert_int_equal(values.baud, 9600);
	assert_true(values.scale == 0.1);
	assert_string_equal(values.text, "8N1");
	assert_null(values.any);
	assert_int_equal(values.flow, 1);
	assert_int_equal(values.timeout_us, 1000000);
	assert_string_equal(values.tls.ca_file, "system");

	walk("name = \"n\"; on = true; baud = 0x4B00; scale = 2; any = 40001; key_file = \"/dev/null\"; flow = "
	     "\"xonxoff\";"
	     "timeout = \"250ms\"; size = \"2MB\"; rate = \"60/m\"; tls: { ca_file = \"x\"; depth = 5000000000L; };",
	     &values, pool, "");
	assert_true(values.on);
	assert_int_equal(values.baud, 19200);
	assert_true(values.scale == 2);
	assert_string_equal(values.any, "40001");
	assert_string_equal(values.secret, "/dev/null");
	assert_int_equal(values.flow, 2);
	assert_int_equal(values.timeout_us, 250000);
	assert_int_equal(values.size, 2097152);
	assert_true(values.rate == 1);
	assert_true(values.tls.depth == INT64_C(5000000000));
	walk("name = \"n\"; any = 0.2;", &values, pool, "");
	assert_string_equal(values.any, "0.2");
	pool_free(pool);
}

static void wrong_values_are_told(void **state _unused_)
{
	struct pool *pool = pool_new();
	struct values values = {0};

	walk("on = 1;", &values, pool,
	     "1: `on` must be true or false, without quotes\n0: thing: `name` is missing (what it is called)\n");
	walk("name = \"my boiler\";", &values, pool,
	     "1: `name` must be 1 to 64 letters, digits, `_`, `.` or `-`, not \"my boiler\"\n");
	walk("name = 5;", &values, pool, "1: `name` must be a text in quotes\n");
#define N "name = \"n\";\n"
	walk(N "baud = \"9600\";", &values, pool, "2: `baud` must be a number without quotes: write 9600\n");
	walk(N "baud = \"fast\";", &values, pool, "2: `baud` must be a whole number, like 9600\n");
	walk(N "baud = 9600.0;", &values, pool, "2: `baud` must be a whole number, like 9600\n");
	walk(N "baud = 10;", &values, pool, "2: `baud` must be from 50 to 4000000, not 10\n");
	walk(N "scale = \"0.1\";", &values, pool, "2: `scale` must be a number without quotes: write 0.1\n");
	walk(N "scale = \"0.1 °C\";", &values, pool,
	     "2: `scale` must be a number without quotes and unit: write 0.1\n");
	walk(N "scale = \"°C\";", &values, pool, "2: `scale` must be a number, like 0.1\n");
	walk(N "scale = \"0,1\";", &values, pool, "2: `scale` must be a number without quotes: write 0.1\n");
	walk(N "scale = \"x\";", &values, pool, "2: `scale` must be a number, like 0.1\n");
	walk(N "text = 5;", &values, pool, "2: `text` must be a text in quotes, like \"8N1\"\n");
	walk(N "flow = \"rts\";", &values, pool,
	     "2: `flow` must be \"none\", \"rtscts\" or \"xonxoff\", not \"rts\"\n");
	walk(N "flow = 1;", &values, pool, "2: `flow` must be \"none\", \"rtscts\" or \"xonxoff\"\n");
	walk(N "timeout = 10;", &values, pool, "2: `timeout` needs a unit: write \"10s\" or \"10ms\", not 10\n");
	walk(N "timeout = \"10\";", &values, pool,
	     "2: `timeout` must be a time with a unit (us, ms, s, m, h, d), like \"1s\", not \"10\"\n");
	walk(N "timeout = \"2h\";", &values, pool, "2: `timeout` must be from \"1ms\" to \"1m\", not \"2h\"\n");
	walk(N "timeout = \"1 s\";", &values, pool, "2: `timeout`: write \"1s\", not \"1 s\"\n");
	walk(N "timeout = \"0,5s\";", &values, pool, "2: `timeout`: write \"0.5s\", not \"0,5s\"\n");
	walk(N "size = \"4 KB\";", &values, pool, "2: `size`: write \"4KB\", not \"4 KB\"\n");
	walk(N "size = 64;", &values, pool, "2: `size` needs a unit: write \"64KB\" or \"64MB\", not 64\n");
	walk(N "size = \"0B\";", &values, pool, "2: `size` must be at least \"1B\", not \"0B\"\n");
	walk(N "rate = 5;", &values, pool, "2: `rate` needs a unit: write \"5/s\", not 5\n");
	walk(N "tls = true;", &values, pool, "2: `tls` must be a group: tls: { … };\n");
	walk(N "buad = 9600;\ntls: { cafile = \"x\"; };\nwhatever = 1;", &values, pool,
	     "3: unknown key `cafile`, did you mean `ca_file`?\n"
	     "2: unknown key `buad`, did you mean `baud`?\n"
	     "4: unknown key `whatever`\n");
	walk(N "key = \"geheim\";\nkey_fil = \"x\";\ntime = \"1s\";", &values, pool,
	     "2: unknown key `key`: secrets are not written in the configuration; put the secret in a file of its own and name the file in `key_file`\n"
	     "3: unknown key `key_fil`, did you mean `key_file`?\n"
	     "4: unknown key `time`, did you mean `timeout`?\n");
	walk(N "key_file = \"/nonexistent/key\";", &values, pool,
	     "2: warning: `key_file`: /nonexistent/key cannot be read: No such file or directory\n");
	pool_free(pool);
}

static void text_sets_a_key(void **state _unused_)
{
	struct pool *pool = pool_new();
	struct values values = {0};

	conf_read_defaults(options, &values, pool);
	assert_int_equal(values.baud, 9600);
	assert_int_equal(conf_set_text(options, &values, "baud", "115200", pool), 0);
	assert_int_equal(values.baud, 115200);
	assert_int_equal(conf_set_text(options, &values, "baud", "5", pool), -ERANGE);
	assert_int_equal(conf_set_text(options, &values, "baud", "x", pool), -EINVAL);
	assert_int_equal(conf_set_text(options, &values, "bau", "5", pool), -ENOENT);
	assert_int_equal(conf_set_text(options, &values, "tls.ca_file", "x", pool), 0);
	assert_string_equal(values.tls.ca_file, "x");
	pool_free(pool);
}

/* ---- layers, digests, reports, secrets ---- */

static uint64_t digest_of(const char *text)
{
	struct conf_messages messages = {0};
	struct conf_file *file = parse(text, &messages);
	struct conf_group group;
	uint64_t digest;

	assert_non_null(file);
	group = conf_group_of(conf_file_root(file));
	digest = conf_group_digest(&group);
	conf_file_free(file);
	return digest;
}

static void digests(void **state _unused_)
{
	static const char *const different[] = {
		"a = 1; b: { c = \"x\"; };",
		"a = 2; b: { c = \"x\"; };",
		"a = 1; b: { c = \"y\"; };",
		"a = 1; b: { d = \"x\"; };",
		"a = 1; c: { b = \"x\"; };",
		"a = 1;",
		"b: { c = \"x\"; };",
		"a = \"1\"; b: { c = \"x\"; };",
		"a = true; b: { c = \"x\"; };",
		"a = ( 1, 2 );",
		"a = ( 2, 1 );",
		"a = ( ( 1 ), 2 );",
		"a = ( ( 1, 2 ) );",
		"a = 1; b = 2;",
		"a = 2; b = 1;",
		"",
	};

	assert_true(digest_of(different[0]) == digest_of("/* x */ b: { c = \"x\" }\n\n# y\na : 0x1;"));
	for (size_t i = 0; i < ELEMENTS(different); i++)
		for (size_t j = 0; j < i; j++)
			assert_true(digest_of(different[i]) != digest_of(different[j]));
}

static void the_first_layer_wins(void **state _unused_)
{
	struct conf_messages messages = {0};
	struct pool *pool = pool_new();
	struct conf_file *over = parse("name = \"n\"; tls: { depth = 2; };", &messages);
	struct conf_file *under = parse("baud = 1200; name = \"m\"; tls: { depth = 1; ca_file = \"y\"; };", &messages);
	struct values values = {0};
	struct conf_part part = {.table = options, .into = &values};
	struct conf_group group = {.layers = {conf_file_root(over), conf_file_root(under)}, .n_layers = 2};

	assert_int_equal(conf_read_group(&group, "thing", &part, 1, NULL, pool, &messages), 0);
	assert_string_equal(values.name, "n");
	assert_int_equal(values.baud, 1200);
	assert_int_equal(values.tls.depth, 2);
	assert_string_equal(values.tls.ca_file, "y");
	assert_true(conf_group_digest(&group) ==
		    digest_of("name = \"n\"; tls: { depth = 2; ca_file = \"y\"; }; baud = 1200;"));
	conf_file_free(over);
	conf_file_free(under);
	pool_free(pool);
}

static void reports_find_their_line(void **state _unused_)
{
	struct conf_messages messages = {0};
	struct conf_file *file = parse("\n\nport = 1;", &messages);
	struct conf_group group = conf_group_of(conf_file_root(file));
	struct conf_report report;
	char *found;

	conf_report_init(&report, &group, "link `x`", &messages);
	report.report.error(&report.report, "port", "`port` is %s", "odd");
	report.report.error(&report.report, NULL, "one of `port` and `url` is needed");
	assert_int_equal(report.n_errors, 2);
	found = lines_of(&messages);
	assert_string_equal(found, "3: `port` is odd\n0: link `x`: one of `port` and `url` is needed\n");
	free(found);
	conf_file_free(file);
}

static void secrets(void **state _unused_)
{
	char dir[] = "/tmp/haywain-conf-XXXXXX", path[256];
	struct pool *pool = pool_new();
	char *secret;
	size_t size;

	assert_non_null(mkdtemp(dir));
	write_file(dir, "pw", "hunter2\n");
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_string_equal(conf_secret_path(pool, "/etc/haywain/haywain.conf", "pw"), "/etc/haywain/pw");
	assert_string_equal(conf_secret_path(pool, "haywain.conf", "pw"), "pw");
	assert_string_equal(conf_secret_path(pool, "haywain.conf", "/run/pw"), "/run/pw");
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	snprintf(path, sizeof(path), "%s/pw", dir);
	assert_string_equal(conf_secret_path(pool, "/etc/haywain/haywain.conf", "pw"), path);
	assert_string_equal(conf_secret_path(pool, "/etc/haywain/haywain.conf", "other"), "/etc/haywain/other");
	unsetenv("CREDENTIALS_DIRECTORY");

	assert_int_equal(conf_secret_read(path, &secret, &size), 0);
	assert_string_equal(secret, "hunter2");
	assert_int_equal(size, 7);
	conf_secret_free(secret);
	assert_int_equal(conf_secret_read("/nonexistent", &secret, &size), -ENOENT);
	assert_int_equal(conf_secret_read("/dev/zero", &secret, &size), -EFBIG);
	conf_secret_free(NULL);
	unlink(path);
	rmdir(dir);
	pool_free(pool);
}

/* As editors leave a password: what would be refused by the broker is told here, with the reason. */
/* Written by an editor of Windows, with a line end that is two bytes, or as long as one may be. */
static void the_ends_of_secrets(void **state _unused_)
{
	static char text[64 * 1024 + 2];
	static const struct {
		const char *text, *secret;
	} cases[] = {{"secret\n", "secret"},
		     {"secret\r\n", "secret"},
		     {"secret\r", "secret\r"},
		     {"\r\n", ""},
		     {"a\n\n", "a\n"}};
	char path[] = "/tmp/test-conf-XXXXXX", *secret;
	int fd = mkstemp(path);
	size_t size;

	assert_true(fd >= 0);
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, cases[i].text, strlen(cases[i].text), 0), strlen(cases[i].text));
		assert_int_equal(conf_secret_read(path, &secret, &size), 0);
		assert_string_equal(secret, cases[i].secret);
		assert_int_equal(size, strlen(cases[i].secret));
		conf_secret_free(secret);
	}
	memset(text, 'x', sizeof(text));
	assert_int_equal(pwrite(fd, text, 64 * 1024, 0), 64 * 1024);
	assert_int_equal(conf_secret_read(path, &secret, &size), 0);
	assert_int_equal(size, 64 * 1024);
	conf_secret_free(secret);
	assert_int_equal(pwrite(fd, text, 64 * 1024 + 1, 0), 64 * 1024 + 1);
	assert_int_equal(conf_secret_read(path, &secret, &size), -EFBIG);
	close(fd);
	unlink(path);
}

static void faults_of_secrets(void **state _unused_)
{
	static const struct {
		const char *text;
		size_t size;
		const char *words; /* NULL: good */
		bool blank;
	} cases[] = {
		{"secret", 6, NULL, false},
		{"", 0, "is empty", false},
		{"\xef\xbb\xbfsecret", 9, "byte order mark", false},
		{"\xff\xfes\0", 4, "UTF-16", false},
		{"se\0ret", 6, "zero byte", false},
		{"secret\nother", 12, "more than one line", false},
		{"secret\n", 7, "more than one line", false},
		{"secret ", 7, NULL, true},
		{" secret", 7, NULL, true},
	};
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		bool blank;
		const char *fault = conf_secret_fault(cases[i].text, cases[i].size, &blank);

		assert_int_equal(blank, cases[i].blank);
		if (!cases[i].words) {
			assert_null(fault);
			continue;
		}
		assert_non_null(fault);
		assert_non_null(strstr(fault, cases[i].words));
	}
}

static void names(void **state _unused_)
{
	assert_true(conf_is_name("barn-1.Z_9"));
	assert_false(conf_is_name(""));
	assert_false(conf_is_name("a b"));
	assert_false(conf_is_name("ä"));
	assert_true(conf_is_name("1234567890123456789012345678901234567890123456789012345678901234"));
	assert_false(conf_is_name("12345678901234567890123456789012345678901234567890123456789012345"));
}

static void nearest_words(void **state _unused_)
{
	static const char *const words[] = {"register", "retries", "timeout", "unit"};
	static const struct {
		const char *word, *best;
	} cases[] = {{"regster", "register"}, {"timoeut", "timeout"}, {"uint", "unit"}, {"colour", NULL}, {"x", NULL}};

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct conf_nearest nearest = {.word = cases[i].word};

		for (size_t j = 0; j < ELEMENTS(words); j++)
			conf_nearest_try(&nearest, words[j]);
		if (!cases[i].best) {
			assert_null(nearest.best);
			continue;
		}
		assert_non_null(nearest.best);
		assert_string_equal(nearest.best, cases[i].best);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_text_is_good),
		cmocka_unit_test(commas),
		cmocka_unit_test(quotes),
		cmocka_unit_test(brackets),
		cmocka_unit_test(strays),
		cmocka_unit_test(foreign_marks),
		cmocka_unit_test(keys),
		cmocka_unit_test(all_mistakes_are_told),
		cmocka_unit_test(large_numbers),
		cmocka_unit_test(encodings),
		cmocka_unit_test(includes),
		cmocka_unit_test(values_are_read),
		cmocka_unit_test(wrong_values_are_told),
		cmocka_unit_test(text_sets_a_key),
		cmocka_unit_test(digests),
		cmocka_unit_test(the_first_layer_wins),
		cmocka_unit_test(reports_find_their_line),
		cmocka_unit_test(secrets),
		cmocka_unit_test(the_ends_of_secrets),
		cmocka_unit_test(faults_of_secrets),
		cmocka_unit_test(names),
		cmocka_unit_test(nearest_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
