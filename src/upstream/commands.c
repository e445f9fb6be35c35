/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/commands.h"
#include "base/clock.h"
#include "base/mutex.h"
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#define OPEN_MAX 64 /* come and not answered, and answers not sent */

struct command_list {
	struct command *first, **end;
};

struct commands {
	struct mutex lock;
	struct command_list come, answers;
	size_t n_open;
	int fd;
};

static void list_append(struct command_list *list, struct command *command)
{
	command->next = NULL;
	*list->end = command;
	list->end = &command->next;
}

static struct command *list_take(struct command_list *list)
{
	struct command *command = list->first;

	if (command) {
		list->first = command->next;
		if (!list->first)
			list->end = &list->first;
	}
	return command;
}

struct commands *commands_new(void)
{
	struct commands *commands = calloc(1, sizeof(*commands));

	if (!commands)
		return NULL;
	commands->come.end = &commands->come.first;
	commands->answers.end = &commands->answers.first;
	commands->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (commands->fd < 0) {
		free(commands);
		return NULL;
	}
	mutex_init(&commands->lock);
	return commands;
}

struct commands *commands_free(struct commands *commands)
{
	struct command *command;

	if (!commands)
		return NULL;
	while ((command = list_take(&commands->come)) || (command = list_take(&commands->answers)))
		command_unref(command);
	close(commands->fd);
	mutex_destroy(&commands->lock);
	free(commands);
	return NULL;
}

/* One more under way. False: too many are. */
static bool open_one(struct commands *commands)
{
	bool busy;

	mutex_lock(&commands->lock);
	busy = commands->n_open >= OPEN_MAX;
	commands->n_open += !busy;
	mutex_unlock(&commands->lock);
	return !busy;
}

int commands_put(struct commands *commands, struct command *command)
{
	uint64_t one = 1;

	if (!open_one(commands))
		return -EBUSY;
	command_start_ttl(command, clock_now());
	mutex_lock(&commands->lock);
	list_append(&commands->come, command_ref(command));
	mutex_unlock(&commands->lock);
	if (write(commands->fd, &one, sizeof(one)) < 0)
		return 0; /* it is readable already */
	return 0;
}

void commands_refuse(struct commands *commands, struct command *command, const char *error)
{
	/* Too many wait for their answer already: this one gets none. */
	if (open_one(commands))
		commands_answer(commands, command, &(struct write_answer){.done = WRITE_NOT_DONE, .text = error});
}

struct command *commands_next_answer(struct commands *commands)
{
	struct command *command;

	mutex_lock(&commands->lock);
	command = list_take(&commands->answers);
	if (command)
		commands->n_open--;
	mutex_unlock(&commands->lock);
	return command;
}

bool commands_have_answer(struct commands *commands)
{
	mutex_lock(&commands->lock);
	bool have = commands->answers.first;
	mutex_unlock(&commands->lock);
	return have;
}

int commands_fd(const struct commands *commands)
{
	return commands->fd;
}

struct command *commands_next(struct commands *commands)
{
	struct command *command;
	uint64_t count;

	mutex_lock(&commands->lock);
	command = list_take(&commands->come);
	if (!command && read(commands->fd, &count, sizeof(count)) < 0)
		errno = 0; /* it was drained already */
	mutex_unlock(&commands->lock);
	return command;
}

void commands_answer(struct commands *commands, struct command *command, const struct write_answer *answer)
{
	int r = command_keep_answer(command, answer);

	mutex_lock(&commands->lock);
	if (r < 0)
		commands->n_open--;
	else
		list_append(&commands->answers, command_ref(command));
	mutex_unlock(&commands->lock);
}
