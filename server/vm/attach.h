/* SPDX-License-Identifier: BSD-3-Clause */
/* attach.h - what ioreq-vm's commands do once they have their page: its vCPUs' ways of waiting. */
#ifndef SERVER_VM_ATTACH_H
#define SERVER_VM_ATTACH_H

#include "server/vm/options.h"
#include "server/vm/requester.h"

/* As --completion says. An exit code, after a line on stderr unless it is EXIT_OK. */
int attach_options_apply(const struct attach_options *options, struct requester *requester,
                         const char *command);

#endif
