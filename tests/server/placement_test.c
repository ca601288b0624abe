/* SPDX-License-Identifier: BSD-3-Clause */
/* ioreqctl placement as an operator runs it, and that ioreqd's threads do run where it says. */
#include "tests/support/daemon.h"

#include <dirent.h>
#include <jansson.h>
#include <sched.h>

static char folder[SCRATCH_FOLDER_BYTES];
static char path[64]; /* of the configuration */
static char output[65536];

static int init(void **state)
{
    (void)state;
    scratch_folder_create(folder);
    snprintf(path, sizeof(path), "%s/c.yaml", folder);
    return 0;
}

static int fini(void **state)
{
    (void)state;
    scratch_folder_destroy(folder);
    return 0;
}

/* Runs ioreqctl placement with these words of a shell, where %s is the folder; what it prints on both
 * streams goes to output. Returns its exit code. */
static int run(const char *words)
{
    char command[1024], filled[512];
    snprintf(filled, sizeof(filled), "%s", words);
    char *mark = strstr(filled, "%s");
    if (mark) {
        char rest[512];
        strcpy(rest, mark + 2);
        snprintf(mark, sizeof(filled) - (size_t)(mark - filled), "%s%s", folder, rest);
    }
    snprintf(command, sizeof(command), "%s/ioreqctl placement %s 2>&1", BINARY_DIR, filled);
    FILE *pipe = popen(command, "re");
    assert_non_null(pipe);
    size_t length = fread(output, 1, sizeof(output) - 1, pipe);
    output[length] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void config_is(const char *pollers, const char *vms)
{
    char text[2048];
    snprintf(text, sizeof(text), "pollers:\n%svms:\n%s", pollers, vms);
    daemon_write(path, text);
}

static void plain_config(void)
{
    config_is("  - {name: rt}\n", "  - {name: guest, vcpus: 4, poller: rt, vcpu_cpus: \"2-5\"}\n");
}

static void assert_told(const char *text)
{
    if (!strstr(output, text))
        fail_msg("not told: %s\nbut: %s", text, output);
}

static void refused(const char *words, const char *text)
{
    int exit_code = run(words);
    assert_told(text);
    assert_int_equal(exit_code, 2);
}

/* ---- bad input --------------------------------------------------------------------------- */

static void wrong_words_are_usage(void **state)
{
    (void)state;
    plain_config();
    refused("", "no file; expected one configuration file");
    refused("%s/c.yaml more.yaml", "more than one file");
    refused("%s/c.yaml --isolate 3,2", "not in ascending order");
    refused("%s/c.yaml --wrong", "Try: ioreqctl placement --help");
    refused("%s/none.yaml", "/none.yaml: ");
    refused("%s/c.yaml --isolated 1-", "--isolated: '1-' is no list of CPUs; expected");
    refused("%s/c.yaml --allowed ''", "--allowed: '' is no list of CPUs; expected");
    refused("%s/c.yaml --topology pu:8 --allowed 2,8",
            "--allowed: CPU 8 does not exist; expected CPUs up to 7");
    refused("%s/c.yaml --topology pu:8 --isolated 9", "--isolated: CPU 9 does not exist");
    refused("%s/c.yaml --topology pu:8 --allowed none", "no CPU is left that may be used");
}

static void machines_that_are_none_are_refused(void **state)
{
    (void)state;
    plain_config();
    refused("%s/c.yaml --topology blah", "'blah' describes no machine; expected levels");
    refused("%s/c.yaml --topology ''", "'' describes no machine");
    refused("%s/c.yaml --topology pu:1000000000", "describes too many CPUs; expected at most");
    refused("%s/c.yaml --topology nowhere.xml", "cannot read nowhere.xml: No such file");
    refused("%s/c.yaml --topology /etc/passwd", "it is no topology");
    refused("%s/c.yaml --topology /", "it is no topology");
}

static void problems_of_the_file_are_told_as_ioreqd_tells_them(void **state)
{
    (void)state;
    config_is("  - {name: rt, cpu: 3, colour: red}\n"
              "  - {name: far, cpu: 99}\n"
              "  - {name: out, cpu: 6}\n"
              "  - {name: again, cpu: 3}\n"
              "  - {name: lost, cpu: x}\n",
              "  - {name: guest, vcpus: 4, poller: rt, vcpu_cpus: \"2,77\"}\n");
    assert_int_equal(run("%s/c.yaml --topology pu:8 --allowed 0-5"), 2);
    assert_told("c.yaml:2:24: unknown key 'colour'");
    assert_told("c.yaml:3:22: CPU 99 does not exist; expected one of 0-5");
    assert_told("c.yaml:4:22: CPU 6 exists, but this process may not use it");
    assert_told("c.yaml:5:24: CPU 3 is taken by poller rt; expected another CPU, any");
    assert_told("c.yaml:6:23: cpu: 'x' is no number");
    assert_told("c.yaml:8:52: vcpu_cpus: CPU 77 does not exist; expected CPUs up to 7");
    assert_told("\n      - {name: far, cpu: 99}\n                         ^\n");
    assert_null(strstr(output, "THREAD"));
}

static void housekeeping_on_a_spinning_poller_is_refused_where_it_stands(void **state)
{
    (void)state;
    daemon_write(path, "server:\n  cpu: 3\n  notify_cpu: 8\n"
                       "pollers: [{name: rt, cpu: 3}]\n"
                       "vms: [{name: guest, vcpus: 1, poller: rt}]\n");
    assert_int_equal(run("%s/c.yaml --topology pu:8"), 2);
    assert_told("c.yaml:2:8: CPU 3 is taken by poller rt");
    assert_told("c.yaml:3:15: CPU 8 does not exist");
}

static void what_cannot_be_written_fails(void **state)
{
    (void)state;
    plain_config();
    assert_int_equal(run("%s/c.yaml --topology pu:8 --svg /nowhere/at/all.svg"), 1);
    assert_told("cannot write /nowhere/at/all.svg: No such file or directory");
    assert_int_equal(run("%s/c.yaml --topology pu:8 --svg /dev/full"), 1);
    assert_told("cannot write /dev/full: No space left on device");
    assert_int_equal(run("%s/c.yaml --topology pu:8 >/dev/full"), 1);
}

/* ---- good input -------------------------------------------------------------------------- */

static void small_machine_is_shown_whole(void **state)
{
    (void)state;
    plain_config();
    assert_int_equal(run("%s/c.yaml --topology 'l3:2(size=4194304) core:4 pu:1' --isolated 3,6,7"),
                     0);
    assert_told("8 CPUs, 8 cores; isolated: 3,6-7\n");
    assert_told("\nTHREAD           ROLE      CPU  CORE   L3  NODE  WHY\n");
    /* two vCPUs in each L3: the isolated CPUs of the second decide */
    assert_told(
        "\nrt               poller      7     7    1     0  off the vCPUs' CPUs, not CPU 0, "
        "isolated; given up:\n"
        "                                                 L3 of all its vCPUs\n");
    assert_told("\ncontrol          control     0     0    0     0  ");
    assert_told("\nnotifier         notify      1     1    0     0  ");
    assert_told(
        "+ machine ------------------------------------------------------------------------+\n"
        "| + NUMA node 0 ----------------------------------------------------------------+ |\n"
        "| | + L3 0, 4 MiB ------------------------------------------------------------+ | |\n"
        "| | | + core 0 -------+ + core 1 -------+ + core 2 -------+ + core 3 -------+ | | |\n");
    assert_told(
        "| | | | 0 control     | | 1 notifier    | | 2 vCPU guest  | | 3* vCPU guest | | | |\n");
    assert_told("| 7* rt ");
    assert_told("\n* isolated   x may not be used here\n");
}

static void neighbours_that_hold_nothing_are_one_box_on_a_large_machine(void **state)
{
    (void)state;
    plain_config();
    assert_int_equal(run("%s/c.yaml --topology 'pack:2 [numa] l3:8 core:8 pu:2'"), 0);
    assert_told("256 CPUs, 128 cores");
    assert_told("+ cores 3-6 ");
    assert_told("| 6-13 ");
    assert_told("+ L3s 1-7, 16 MiB each ");
    assert_told("| 16-127 ");
    assert_told("+ L3s 8-15, ");
    assert_told(" 15 rt ");
    for (const char *line = output; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strcspn(line, "\n") > 100)
            fail_msg("longer than 100: %.*s", (int)strcspn(line, "\n"), line);
    }
}

static void svg_is_one_sound_file_with_every_cpu(void **state)
{
    (void)state;
    char svg[64];
    static char text[65536];
    config_is("  - {name: rt}\n", "  - {name: guest, vcpus: 4, poller: rt, vcpu_cpus: \"2-5\"}\n");
    snprintf(svg, sizeof(svg), "%s/<&>.svg", folder);
    char words[256];
    snprintf(words, sizeof(words), "'%%s/c.yaml' --topology 'pack:1 l3:2 core:4 pu:2' --svg '%s'",
             svg);
    assert_int_equal(run(words), 0);
    FILE *file = fopen(svg, "re");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    assert_int_equal(strncmp(text, "<svg xmlns=\"http://www.w3.org/2000/svg\"", 39), 0);
    assert_string_equal(text + strlen(text) - 7, "</svg>\n");
    assert_non_null(strstr(text, ">7 rt</text>"));
    assert_non_null(strstr(text, ">0 control</text>"));
    assert_non_null(strstr(text, ">5 vCPU guest</text>"));
    assert_non_null(strstr(text, ">L3 1, 16 MiB</text>"));
    assert_non_null(strstr(text, ">15</text>"));
    assert_null(strstr(text, "href"));
    /* as many tags are closed as are opened, and no text is taken for one */
    size_t opened = 0, closed = 0;
    for (const char *at = text; *at; at++) {
        opened += at[0] == '<' && at[1] != '/';
        closed += (at[0] == '<' && at[1] == '/') || (at[0] == '/' && at[1] == '>');
    }
    assert_int_equal(opened, closed);
}

static void names_are_escaped_in_the_svg(void **state)
{
    (void)state;
    char from[64], to[96], svg[64];
    static char text[65536];
    plain_config();
    snprintf(from, sizeof(from), "%s", path);
    snprintf(to, sizeof(to), "%s/a<b>&.yaml", folder);
    assert_int_equal(rename(from, to), 0);
    snprintf(svg, sizeof(svg), "%s/s.svg", folder);
    char words[256];
    snprintf(words, sizeof(words), "'%%s/a<b>&.yaml' --topology pu:8 --svg '%s'", svg);
    assert_int_equal(run(words), 0);
    FILE *file = fopen(svg, "re");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    assert_non_null(strstr(text, "a&lt;b&gt;&amp;.yaml on pu:8</text>"));
}

static void json_holds_every_thread_with_its_reason(void **state)
{
    (void)state;
    config_is("  - {name: rt}\n  - {name: side, cpu: 4}\n",
              "  - {name: guest, vcpus: 4, poller: rt, vcpu_cpus: \"2-3\"}\n");
    assert_int_equal(run("%s/c.yaml --json --topology 'l3:2 core:4 pu:1' --isolated 1,6-7"), 0);
    json_t *root = json_loads(output, 0, NULL);
    assert_non_null(root);
    json_t *threads = json_object_get(root, "threads");
    assert_int_equal(json_array_size(threads), 4);
    json_t *rt = json_array_get(threads, 0);
    assert_string_equal(json_string_value(json_object_get(rt, "name")), "rt");
    assert_string_equal(json_string_value(json_object_get(rt, "role")), "poller");
    assert_string_equal(json_string_value(json_object_get(rt, "near")), "L3");
    assert_int_equal(json_integer_value(json_object_get(rt, "cpu")), 1);
    assert_true(json_is_true(json_object_get(rt, "isolated")));
    assert_string_equal(
        json_string_value(json_object_get(rt, "why")),
        "off the vCPUs' CPUs, a CPU of its own, not CPU 0, L3 of its vCPUs, isolated");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(threads, 1), "cpu")), 4);
    assert_string_equal(json_string_value(json_object_get(json_array_get(threads, 2), "role")),
                        "control");
    json_t *machine = json_object_get(root, "machine");
    assert_string_equal(json_string_value(json_object_get(machine, "isolated")), "1,6-7");
    assert_true(json_is_false(json_object_get(machine, "is_this_system")));
    json_decref(root);
}

static void clients_bring_their_poller_near_the_vcpus(void **state)
{
    (void)state;
    daemon_write(path, "pollers: [{name: rt}, {name: side}]\n"
                       "vms: [{name: guest, vcpus: 1, poller: rt, vcpu_cpus: 2}]\n"
                       "clients:\n"
                       "  - {name: c, vm: guest, device: fallback, poller: side,\n"
                       "     ranges: [{type: portio, first: 1}]}\n");
    assert_int_equal(run("%s/c.yaml --topology 'l3:2 core:6 pu:1'"), 0);
    assert_told("\nrt               poller      5     5    0 ");
    assert_told("\nside             poller      4     4    0 ");
}

/* ---- ioreqd ------------------------------------------------------------------------------ */

static long cpu_asked_of(const char *name)
{
    json_t *root = json_loads(output, 0, NULL);
    long cpu = -1;
    assert_non_null(root);
    json_t *threads = json_object_get(root, "threads");
    for (size_t i = 0; i < json_array_size(threads); i++) {
        json_t *thread = json_array_get(threads, i);
        if (strcmp(json_string_value(json_object_get(thread, "name")), name) == 0)
            cpu = (long)json_integer_value(json_object_get(thread, "cpu"));
    }
    json_decref(root);
    return cpu;
}

/* The thread of that name may run on that CPU and no other. */
static void assert_bound(pid_t pid, const char *name, long cpu)
{
    char task_path[320];
    snprintf(task_path, sizeof(task_path), "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(task_path);
    assert_non_null(tasks);
    bool is_found = false;
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char found[32] = "";
        if (entry->d_name[0] == '.')
            continue;
        snprintf(task_path, sizeof(task_path), "/proc/%d/task/%s/comm", (int)pid, entry->d_name);
        FILE *comm = fopen(task_path, "re");
        if (!comm)
            continue;
        if (fgets(found, sizeof(found), comm))
            found[strcspn(found, "\n")] = '\0';
        fclose(comm);
        if (strcmp(found, name) != 0)
            continue;
        cpu_set_t set;
        assert_int_equal(sched_getaffinity((pid_t)atoi(entry->d_name), sizeof(set), &set), 0);
        if (CPU_COUNT(&set) != 1 || !CPU_ISSET((size_t)cpu, &set))
            fail_msg("%s is bound to %d CPUs, not to CPU %ld alone", name, CPU_COUNT(&set), cpu);
        is_found = true;
    }
    closedir(tasks);
    if (!is_found)
        fail_msg("there is no thread %s", name);
}

static void threads_of_ioreqd_run_where_placement_says(void **state)
{
    (void)state;
    struct daemon ioreqd;
    daemon_init(&ioreqd);
    /* The notifier elsewhere than control, whose CPU a thread inherits. */
    cpu_set_t ours;
    assert_int_equal(sched_getaffinity(0, sizeof(ours), &ours), 0);
    size_t first = 0, last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(first, &ours))
        first++;
    while (!CPU_ISSET(last, &ours))
        last--;
    char extra[48], words[128];
    snprintf(extra, sizeof(extra), ", cpu: %zu, notify_cpu: %zu", first, last);
    daemon_write_config(&ioreqd, "none", extra);
    snprintf(words, sizeof(words), "%s --json", ioreqd.config);
    assert_int_equal(run(words), 0);
    daemon_start(&ioreqd);
    assert_bound(ioreqd.pid, "rt", cpu_asked_of("rt"));
    assert_bound(ioreqd.pid, "notifier", cpu_asked_of("notifier"));
    assert_bound(ioreqd.pid, "ioreqd", cpu_asked_of("control"));
    char line[64];
    snprintf(line, sizeof(line), "poller rt: CPU %ld: ", cpu_asked_of("rt"));
    assert_true(daemon_file_has(ioreqd.err, line));
    assert_int_equal(daemon_stop(&ioreqd), 0);
    daemon_fini(&ioreqd);
}

#define IN_FOLDER(function) cmocka_unit_test_setup_teardown(function, init, fini)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(wrong_words_are_usage),
        IN_FOLDER(machines_that_are_none_are_refused),
        IN_FOLDER(problems_of_the_file_are_told_as_ioreqd_tells_them),
        IN_FOLDER(housekeeping_on_a_spinning_poller_is_refused_where_it_stands),
        IN_FOLDER(what_cannot_be_written_fails),
        IN_FOLDER(small_machine_is_shown_whole),
        IN_FOLDER(neighbours_that_hold_nothing_are_one_box_on_a_large_machine),
        IN_FOLDER(svg_is_one_sound_file_with_every_cpu),
        IN_FOLDER(names_are_escaped_in_the_svg),
        IN_FOLDER(json_holds_every_thread_with_its_reason),
        IN_FOLDER(clients_bring_their_poller_near_the_vcpus),
        IN_FOLDER(threads_of_ioreqd_run_where_placement_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
