/* SPDX-License-Identifier: BSD-3-Clause */
/* main.cpp - runs one suite, or looks for one that catches a relaxed order; see run.sh. */
#include "tests/model/relacy/shim/relacy_c.h"
#include "tests/model/relacy/suites.h"

#include <cstdlib>

struct suite {
    const char *name;
    bool (*run)(const std::string &name, unsigned preemptions, bool is_quiet);
};

static const struct suite suites[] = {
    {"handoff_local", run_handoff},      {"handoff_inbox", run_handoff},
    {"handoff_next", run_handoff},       {"handoff_external", run_handoff},
    {"handoff_ticket", run_handoff},     {"handoff_notified", run_handoff},
    {"handoff_detach", run_handoff},     {"handoff_prompt", run_handoff},
    {"inbox_transfer", run_inbox},       {"inbox_revoked", run_inbox},
    {"inbox_drained", run_inbox},        {"table_swap", run_table_swap},
    {"mailbox_timeout", run_table_swap}, {"mailbox_brief", run_table_swap},
};

static int usage(void)
{
    std::fprintf(stderr,
                 "Usage: relacy_tests list | SUITE PREEMPTIONS | relax FILE:LINE PREEMPTIONS\n");
    return 2;
}

static int run_one(const char *name, unsigned preemptions)
{
    for (const struct suite &suite : suites)
        if (std::strcmp(suite.name, name) == 0) {
            return !suite.run(name, preemptions, false);
        }
    return usage();
}

/* Few preemptions first: most mutants are caught with one. */
static int find_relaxed(char *where, unsigned most)
{
    char *colon = std::strrchr(where, ':');
    if (!colon)
        return usage();
    *colon = 0;
    shim::relaxed_file = where;
    shim::relaxed_line = std::atoi(colon + 1);
    for (unsigned preemptions = 1; preemptions <= most; preemptions++)
        for (const struct suite &suite : suites)
            if (!suite.run(suite.name, preemptions, true))
                return 0;
    std::printf("nobody noticed");
    return 1;
}

int main(int argument_count, char **arguments)
{
    if (argument_count == 2 && std::strcmp(arguments[1], "list") == 0) {
        for (const struct suite &suite : suites)
            std::printf("%s\n", suite.name);
        return 0;
    }
    if (argument_count == 3)
        return run_one(arguments[1], (unsigned)std::atoi(arguments[2]));
    if (argument_count == 4 && std::strcmp(arguments[1], "relax") == 0)
        return find_relaxed(arguments[2], (unsigned)std::atoi(arguments[3]));
    return usage();
}
