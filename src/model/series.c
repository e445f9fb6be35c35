/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows are found by number through a growing array, and by content through a hash table. Everything is
 * allocated from one pool that lives as long as the set; the lock is a leaf: nothing else is taken under it.
 */
#include "model/series.h"
#include "base/mutex.h"
#include "base/pool.h"
#include <errno.h>
#include <string.h>

/* A number past this comes from a damaged file: the arrays by number shall not grow to it. */
#define NUMBER_MAX 16000000u

struct series_node {
	struct series_node *next;
	uint64_t hash;
	const void *row; /* struct series_device or struct series */
};

struct series_index {
	struct series_node **buckets;
	size_t n_buckets; /* a power of two, or 0 */
	size_t n_nodes;
};

struct series_rows {
	const void **by_number; /* number - 1 */
	uint32_t count, capacity;
};

struct series_set {
	struct mutex lock;
	struct pool *pool;
	struct series_rows devices, series;
	struct series_index device_index, series_index;
};

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	/* The terminator keeps "a","bc" and "ab","c" apart; NULL and "" differ. */
	return text ? hash_bytes(hash, text, strlen(text) + 1) : hash_bytes(hash, "\xff", 1);
}

static int index_add(struct series_index *index, struct pool *pool, uint64_t hash, const void *row)
{
	struct series_node *node = pool_alloc(pool, sizeof(*node));

	if (!node)
		return -ENOMEM;
	if (index->n_nodes >= index->n_buckets) {
		size_t n = MAX(index->n_buckets * 2, (size_t)64);
		struct series_node **buckets = calloc(n, sizeof(struct series_node *));

		if (!buckets)
			return -ENOMEM;
		for (size_t i = 0; i < index->n_buckets; i++) {
			for (struct series_node *at = index->buckets[i], *next; at; at = next) {
				next = at->next;
				at->next = buckets[at->hash & (n - 1)];
				buckets[at->hash & (n - 1)] = at;
			}
		}
		free(index->buckets);
		index->buckets = buckets;
		index->n_buckets = n;
	}
	*node = (struct series_node){.next = index->buckets[hash & (index->n_buckets - 1)], .hash = hash, .row = row};
	index->buckets[hash & (index->n_buckets - 1)] = node;
	index->n_nodes++;
	return 0;
}

static const struct series_node *index_first(const struct series_index *index, uint64_t hash)
{
	return index->n_buckets > 0 ? index->buckets[hash & (index->n_buckets - 1)] : NULL;
}

static int rows_reserve(struct series_rows *rows, uint32_t number)
{
	const void **grown;
	uint32_t capacity;

	if (number > NUMBER_MAX)
		return -ERANGE;
	if (number <= rows->capacity)
		return 0;
	capacity = MAX(MAX(rows->capacity * 2, number), 64u);
	grown = realloc(rows->by_number, capacity * sizeof(void *));
	if (!grown)
		return -ENOMEM;
	memset(grown + rows->capacity, 0, (capacity - rows->capacity) * sizeof(void *));
	rows->by_number = grown;
	rows->capacity = capacity;
	return 0;
}

static const void *rows_get(const struct series_rows *rows, uint32_t number)
{
	return number >= 1 && number <= rows->count ? rows->by_number[number - 1] : NULL;
}

static void rows_put(struct series_rows *rows, uint32_t number, const void *row)
{
	rows->by_number[number - 1] = row;
	rows->count = MAX(rows->count, number);
}

struct series_set *series_set_new(void)
{
	struct series_set *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	set->pool = pool_new();
	if (!set->pool) {
		free(set);
		return NULL;
	}
	mutex_init(&set->lock);
	return set;
}

struct series_set *series_set_free(struct series_set *set)
{
	if (!set)
		return NULL;
	free(set->devices.by_number);
	free(set->series.by_number);
	free(set->device_index.buckets);
	free(set->series_index.buckets);
	pool_free(set->pool);
	mutex_destroy(&set->lock);
	free(set);
	return NULL;
}

/* ---- devices ---- */

static uint64_t device_hash(const char *name, const char *link, const struct tag *tags, size_t n_tags)
{
	uint64_t hash = hash_text(hash_text(0xcbf29ce484222325, name), link);

	for (size_t i = 0; i < n_tags; i++)
		hash = hash_text(hash_text(hash, tags[i].name), tags[i].value);
	return hash;
}

static bool device_is(const struct series_device *device, const char *name, const char *link, const struct tag *tags,
		      size_t n_tags)
{
	if (!text_same(device->name, name) || !text_same(device->link, link) || device->n_tags != n_tags)
		return false;
	for (size_t i = 0; i < n_tags; i++)
		if (!text_same(device->tags[i].name, tags[i].name) || !text_same(device->tags[i].value, tags[i].value))
			return false;
	return true;
}

static int compare_tags(const void *a, const void *b)
{
	return strcmp(((const struct tag *)a)->name, ((const struct tag *)b)->name);
}

static const struct series_device *device_find(const struct series_set *set, uint64_t hash, const char *name,
					       const char *link, const struct tag *tags, size_t n_tags)
{
	for (const struct series_node *node = index_first(&set->device_index, hash); node; node = node->next)
		if (node->hash == hash && device_is(node->row, name, link, tags, n_tags))
			return node->row;
	return NULL;
}

/* tags are sorted. */
static int device_add(struct series_set *set, uint32_t number, uint64_t hash, const char *name, const char *link,
		      const struct tag *tags, size_t n_tags, const struct series_device **ret)
{
	struct series_device *device = pool_alloc(set->pool, sizeof(*device));
	struct tag *copies = n_tags > 0 ? pool_alloc(set->pool, n_tags * sizeof(*copies)) : NULL;
	int r = rows_reserve(&set->devices, number);

	if (r < 0)
		return r;
	if (!device || (n_tags > 0 && !copies))
		return -ENOMEM;
	for (size_t i = 0; i < n_tags; i++) {
		copies[i].name = pool_strdup(set->pool, tags[i].name);
		copies[i].value = pool_strdup(set->pool, tags[i].value);
		if (!copies[i].name || !copies[i].value)
			return -ENOMEM;
	}
	*device = (struct series_device){
		.number = number,
		.name = pool_strdup(set->pool, name),
		.link = link ? pool_strdup(set->pool, link) : NULL,
		.tags = copies,
		.n_tags = n_tags,
	};
	if (!device->name || (link && !device->link))
		return -ENOMEM;
	r = index_add(&set->device_index, set->pool, hash, device);
	if (r < 0)
		return r;
	rows_put(&set->devices, number, device);
	*ret = device;
	return 0;
}

/* The caller's order of tags does not matter: a sorted copy of the array. NULL where there are none. */
static int sort_tags(const struct tag *tags, size_t n_tags, struct tag **ret)
{
	struct tag *sorted;

	*ret = NULL;
	if (n_tags == 0)
		return 0;
	sorted = malloc(n_tags * sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, tags, n_tags * sizeof(*sorted));
	qsort(sorted, n_tags, sizeof(*sorted), compare_tags);
	*ret = sorted;
	return 0;
}

const struct series_device *series_device_intern(struct series_set *set, const char *name, const char *link,
						 const struct tag *tags, size_t n_tags)
{
	_cleanup_free_ struct tag *sorted = NULL;
	const struct series_device *device;
	uint64_t hash;

	if (sort_tags(tags, n_tags, &sorted) < 0)
		return NULL;
	hash = device_hash(name, link, sorted, n_tags);
	mutex_lock(&set->lock);
	device = device_find(set, hash, name, link, sorted, n_tags);
	if (!device)
		device_add(set, set->devices.count + 1, hash, name, link, sorted, n_tags, &device);
	mutex_unlock(&set->lock);
	return device;
}

int series_device_restore(struct series_set *set, uint32_t number, const char *name, const char *link,
			  const struct tag *tags, size_t n_tags)
{
	_cleanup_free_ struct tag *sorted = NULL;
	const struct series_device *device;
	int r;

	if (number == 0)
		return -EINVAL;
	r = sort_tags(tags, n_tags, &sorted);
	if (r < 0)
		return r;
	mutex_lock(&set->lock);
	if (rows_get(&set->devices, number))
		r = -EEXIST;
	else
		r = device_add(set, number, device_hash(name, link, sorted, n_tags), name, link, sorted, n_tags,
			       &device);
	mutex_unlock(&set->lock);
	return r;
}

const struct series_device *series_device_by_number(struct series_set *set, uint32_t number)
{
	const struct series_device *device;

	mutex_lock(&set->lock);
	device = rows_get(&set->devices, number);
	mutex_unlock(&set->lock);
	return device;
}

uint32_t series_device_count(struct series_set *set)
{
	uint32_t count;

	mutex_lock(&set->lock);
	count = set->devices.count;
	mutex_unlock(&set->lock);
	return count;
}

/* ---- series ---- */

static uint64_t series_hash(const struct series_device *device, const char *point, const char *unit, enum hay_type type)
{
	uint32_t numbers[2] = {device->number, (uint32_t)type};

	return hash_text(hash_text(hash_bytes(0xcbf29ce484222325, numbers, sizeof(numbers)), point), unit);
}

static int series_add(struct series_set *set, uint32_t number, uint64_t hash, const struct series_device *device,
		      const char *point, const char *unit, enum hay_type type, const struct series **ret)
{
	struct series *series = pool_alloc(set->pool, sizeof(*series));
	int r = rows_reserve(&set->series, number);

	if (r < 0)
		return r;
	if (!series)
		return -ENOMEM;
	*series = (struct series){
		.number = number,
		.device = device,
		.point = pool_strdup(set->pool, point),
		.unit = unit ? pool_strdup(set->pool, unit) : NULL,
		.type = type,
	};
	if (!series->point || (unit && !series->unit))
		return -ENOMEM;
	r = index_add(&set->series_index, set->pool, hash, series);
	if (r < 0)
		return r;
	rows_put(&set->series, number, series);
	*ret = series;
	return 0;
}

const struct series *series_intern(struct series_set *set, const struct series_device *device, const char *point,
				   const char *unit, enum hay_type type)
{
	uint64_t hash = series_hash(device, point, unit, type);
	const struct series *series = NULL;

	mutex_lock(&set->lock);
	for (const struct series_node *node = index_first(&set->series_index, hash); node && !series;
	     node = node->next) {
		const struct series *at = node->row;

		if (node->hash == hash && at->device == device && at->type == type && text_same(at->point, point) &&
		    text_same(at->unit, unit))
			series = at;
	}
	if (!series)
		series_add(set, set->series.count + 1, hash, device, point, unit, type, &series);
	mutex_unlock(&set->lock);
	return series;
}

int series_restore(struct series_set *set, uint32_t number, uint32_t device_number, const char *point, const char *unit,
		   enum hay_type type)
{
	const struct series_device *device;
	const struct series *series;
	int r;

	if (number == 0)
		return -EINVAL;
	mutex_lock(&set->lock);
	device = rows_get(&set->devices, device_number);
	if (!device)
		r = -ENOENT;
	else if (rows_get(&set->series, number))
		r = -EEXIST;
	else
		r = series_add(set, number, series_hash(device, point, unit, type), device, point, unit, type, &series);
	mutex_unlock(&set->lock);
	return r;
}

const struct series *series_by_number(struct series_set *set, uint32_t number)
{
	const struct series *series;

	mutex_lock(&set->lock);
	series = rows_get(&set->series, number);
	mutex_unlock(&set->lock);
	return series;
}

uint32_t series_count(struct series_set *set)
{
	uint32_t count;

	mutex_lock(&set->lock);
	count = set->series.count;
	mutex_unlock(&set->lock);
	return count;
}

int series_skip(struct series_set *set, uint32_t n_devices, uint32_t n_series)
{
	int r;

	mutex_lock(&set->lock);
	r = rows_reserve(&set->devices, n_devices);
	if (r == 0)
		r = rows_reserve(&set->series, n_series);
	if (r == 0) {
		set->devices.count = MAX(set->devices.count, n_devices);
		set->series.count = MAX(set->series.count, n_series);
	}
	mutex_unlock(&set->lock);
	return r;
}

/* ---- names of types ---- */

static const char *const type_names[HAY_N_TYPES] = {
	[HAY_TYPE_NONE] = "none",  [HAY_BOOL] = "bool",	      [HAY_INT16] = "int16",   [HAY_INT32] = "int32",
	[HAY_INT64] = "int64",	   [HAY_UINT16] = "uint16",   [HAY_UINT32] = "uint32", [HAY_UINT64] = "uint64",
	[HAY_FLOAT32] = "float32", [HAY_FLOAT64] = "float64", [HAY_STRING] = "string", [HAY_BYTES] = "bytes",
};

const char *type_to_string(enum hay_type type)
{
	return (unsigned)type < HAY_N_TYPES ? type_names[type] : "none";
}

enum hay_type type_from_name(const char *name)
{
	for (int i = HAY_TYPE_NONE + 1; i < HAY_N_TYPES; i++)
		if (strcmp(type_names[i], name) == 0)
			return (enum hay_type)i;
	return HAY_TYPE_NONE;
}
