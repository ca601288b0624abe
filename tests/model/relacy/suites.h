/* SPDX-License-Identifier: BSD-3-Clause */
/* suites.h - each runs one of its suites by name; see run_suite in production.h. */
#ifndef RELACY_SUITES_H
#define RELACY_SUITES_H

#include <string>

bool run_handoff(const std::string &name, unsigned preemptions, bool is_quiet);
bool run_inbox(const std::string &name, unsigned preemptions, bool is_quiet);
bool run_table_swap(const std::string &name, unsigned preemptions, bool is_quiet);

#endif
