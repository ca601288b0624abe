/* SPDX-License-Identifier: BSD-3-Clause */
/* attach.h - what ioreq-vm's commands do once they have their page: its vCPUs' ways of waiting. */
#ifndef SERVER_VM_ATTACH_H
#define SERVER_VM_ATTACH_H

#include "server/vm/options.h"
#include "server/vm/requester.h"

/* The page, and all that attach_options_apply does; vcpu_count: of a page that we register, 0: one. */
int attach_requester(const struct attach_options *options, uint32_t vcpu_count,
                     struct requester **requester, const char *command);

/* As --completion says. An exit code, after a line on stderr unless it is EXIT_OK. */
int attach_options_apply(const struct attach_options *options, struct requester *requester,
                         const char *command);

#endif
