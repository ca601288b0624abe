/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relacy_c.h - C11 atomics, the __atomic builtins and plain memory, as relacy's: so that the
 * production code compiles as it is and runs under its scheduler.
 *
 * Flow:    run.sh copies the code under test, with `_Atomic T` as shim::atomic<T> and the members
 *          of a few structures as shim::plain<T>; #line keeps files and lines. Each suite includes
 *          production.h, which includes those copies.
 * Threads: relacy's fibers. An access to an atomic is a point where it may switch, and a load may
 *          return an older value; an access to plain memory that is not ordered is a data race.
 * Memory:  objects live in a suite, and are built anew for each of its executions.
 * Errors:  shim::relaxed_file and relaxed_line name one order that is taken for relaxed: a
 *          mutant, which must be caught.
 * Source:  relacy 2019; its atomics follow C++11.
 */
#ifndef RELACY_SHIM_RELACY_C_H
#define RELACY_SHIM_RELACY_C_H

/* What relacy and the code under test want of the system, before any name is redefined. */
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <iostream>
#include <pthread.h>
#include <sched.h>
#include <sstream>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>

#include <relacy/relacy.hpp>

#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free

namespace shim
{

inline const char *relaxed_file = "";
inline int relaxed_line = 0;

/* How often time may run out from here on (pollers/ticks.h). */
inline unsigned timeouts_left = 0;

inline rl::memory_order at(rl::memory_order order, const char *file, int line)
{
    bool is_relaxed = line == relaxed_line && std::strcmp(file, relaxed_file) == 0;
    return is_relaxed ? rl::mo_relaxed : order;
}

template <typename T> struct same {
    typedef T type;
};

/* relacy has no atomic pointers to const. */
template <typename T> struct word {
    typedef T type;
};
template <typename T> struct word<const T *> {
    typedef T *type;
};

template <typename T> struct atomic {
    rl::atomic<typename word<T>::type> word;
};

/* Memory that needs no atomicity, since it is handed over: two accesses of which one writes must be
 * ordered. */
template <typename T> struct plain {
    rl::var<unsigned> guard;
    T value;

    T load() const
    {
        (void)guard($).load();
        return value;
    }
    void store(const T &stored)
    {
        guard($).store(1);
        value = stored;
    }
    operator T() const
    {
        return load();
    }
    plain &operator=(const T &stored)
    {
        store(stored);
        return *this;
    }
    /* A part of it, to be read at once. */
    const T *seen() const
    {
        (void)guard($).load();
        return &value;
    }
    T &written()
    {
        guard($).store(1);
        return value;
    }
};

/* Where the production code stands, for the history of a failure. */
struct place {
    rl::debug_info info;

    place(const char *function, const char *file, int line) : info(function, file, (unsigned)line)
    {
    }
};
#define SHIM_HERE place(__builtin_FUNCTION(), __builtin_FILE(), __builtin_LINE())

template <typename T>
T load(const atomic<T> *object, rl::memory_order order, place here = SHIM_HERE)
{
    return object->word.load(order, here.info);
}
template <typename T>
void store(atomic<T> *object, typename same<T>::type value, rl::memory_order order,
           place here = SHIM_HERE)
{
    object->word.store((typename word<T>::type)value, order, here.info);
}
template <typename T>
T exchange(atomic<T> *object, typename same<T>::type value, rl::memory_order order,
           place here = SHIM_HERE)
{
    return object->word.exchange(value, order, here.info);
}
template <typename T>
T fetch_add(atomic<T> *object, typename same<T>::type value, rl::memory_order order,
            place here = SHIM_HERE)
{
    return object->word.fetch_add(value, order, here.info);
}
template <typename T>
T fetch_or(atomic<T> *object, typename same<T>::type value, rl::memory_order order,
           place here = SHIM_HERE)
{
    return object->word.fetch_or(value, order, here.info);
}
template <typename T>
bool swap_if(atomic<T> *object, T *expected, typename same<T>::type value, rl::memory_order success,
             rl::memory_order failure, place here = SHIM_HERE)
{
    return object->word.compare_exchange_strong(*expected, value, success, here.info, failure,
                                                here.info);
}
/* The builtin also says whether it may fail spuriously. */
template <typename T>
bool swap_if(atomic<T> *object, T *expected, typename same<T>::type value, bool,
             rl::memory_order success, rl::memory_order failure, place here = SHIM_HERE)
{
    return swap_if(object, expected, value, success, failure, here);
}

/* The words of a slot are atomic in production, since the requester may break the rules. Here it
 * keeps them, and so no two accesses may meet: a stronger demand, and fewer executions. */
template <typename T> T load(const plain<T> *object, rl::memory_order)
{
    return object->load();
}
template <typename T> void store(plain<T> *object, typename same<T>::type value, rl::memory_order)
{
    object->store(value);
}

/* Figures: nobody orders anything by them. */
inline uint64_t fetch_add(uint64_t *figure, uint64_t amount, rl::memory_order)
{
    return (*figure += amount) - amount;
}

} // namespace shim

#define memory_order_relaxed rl::mo_relaxed
#define memory_order_acquire shim::at(rl::mo_acquire, __FILE__, __LINE__)
#define memory_order_release shim::at(rl::mo_release, __FILE__, __LINE__)
#define memory_order_acq_rel shim::at(rl::mo_acq_rel, __FILE__, __LINE__)

#define atomic_load_explicit                    shim::load
#define atomic_store_explicit                   shim::store
#define atomic_exchange_explicit                shim::exchange
#define atomic_fetch_add_explicit               shim::fetch_add
#define atomic_fetch_or_explicit                shim::fetch_or
#define atomic_compare_exchange_strong_explicit shim::swap_if
#define atomic_init(object, value)              shim::store(object, value, rl::mo_relaxed)

#undef __ATOMIC_RELAXED
#undef __ATOMIC_ACQUIRE
#undef __ATOMIC_RELEASE
#define __ATOMIC_RELAXED            memory_order_relaxed
#define __ATOMIC_ACQUIRE            memory_order_acquire
#define __ATOMIC_RELEASE            memory_order_release
#define __atomic_load_n             shim::load
#define __atomic_store_n            shim::store
#define __atomic_compare_exchange_n shim::swap_if

/* Layout is the C compiler's to check. */
#define _Alignas(bytes)
#define alignas(bytes)
#define _Static_assert(...)
#define static_assert(...)

#endif
