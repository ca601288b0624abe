/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * placement_command.h - ioreqctl placement: where the threads of a configuration would run, and why.
 *
 * Flow:    arguments -> the machine, real or invented -> the configuration, checked as ioreqd checks
 *          its CPUs -> plan -> table and drawing, or JSON; SVG into a file.
 * Threads: one; nothing is bound.
 * Errors:  explained on stderr.
 */
#ifndef SERVER_CTL_PLACEMENT_COMMAND_H
#define SERVER_CTL_PLACEMENT_COMMAND_H

/* argv[0] is "placement". The exit code: 0 ok, 1 failed, 2 usage or configuration. */
int placement_command(int argc, char **argv);

#endif
