/* SPDX-License-Identifier: BSD-3-Clause */
/* stream.h's first step: can it be opened? */
#include "server/devices/stream.h"

#include "server/reason.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PTY_PREFIX "/dev/pts/"

static int check_folder(const char *path, char *text, size_t text_bytes)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    if (slash)
        snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (access(folder, W_OK | X_OK) == 0)
        return 0;
    return reason_give(text, text_bytes, -errno, "%s: %s; expected a folder that can be written",
                       folder, strerror(errno));
}

static int check_file(const char *path, char *text, size_t text_bytes)
{
    struct stat status;
    if (stat(path, &status) < 0) {
        if (errno == ENOENT)
            return check_folder(path, text, text_bytes);
        return reason_give(text, text_bytes, -errno, "%s", strerror(errno));
    }
    if (S_ISDIR(status.st_mode) || S_ISSOCK(status.st_mode))
        return reason_give(text, text_bytes, -EISDIR, "it is a %s; expected a file",
                           S_ISDIR(status.st_mode) ? "folder" : "socket");
    if (access(path, W_OK) < 0)
        return reason_give(text, text_bytes, -errno, "%s; expected a file that can be written",
                           strerror(errno));
    return 0;
}

static int check_link(const char *path, char *text, size_t text_bytes)
{
    char target[PATH_MAX] = "";
    struct stat status;
    if (lstat(path, &status) < 0 && errno != ENOENT)
        return reason_give(text, text_bytes, -errno, "%s", strerror(errno));
    if (lstat(path, &status) == 0) {
        if (!S_ISLNK(status.st_mode) || readlink(path, target, sizeof(target) - 1) < 0)
            return reason_give(
                text, text_bytes, -EEXIST,
                "it exists and is no symbolic link; expected another path, or remove it");
        if (strncmp(target, PTY_PREFIX, strlen(PTY_PREFIX)) != 0)
            return reason_give(
                text, text_bytes, -EEXIST,
                "it points to %.100s, which is no pty; expected another path, or remove it",
                target);
    }
    return check_folder(path, text, text_bytes);
}

int stream_check(const char *name, char *text, size_t text_bytes)
{
    text[0] = '\0';
    if (!name || strcmp(name, "none") == 0 || strcmp(name, "stdio") == 0 ||
        strcmp(name, "pty") == 0)
        return 0;
    if (strncmp(name, "pty:", 4) == 0)
        return check_link(name + 4, text, text_bytes);
    if (strncmp(name, "file:", 5) == 0)
        return check_file(name + 5, text, text_bytes);
    return reason_give(text, text_bytes, -EINVAL,
                       "expected none, stdio, pty, pty:LINK or file:PATH");
}
