/* SPDX-License-Identifier: BSD-3-Clause */
/* pollers/ticks.h: time stands still, but for as many timeouts as a suite allows, at any look. */
#ifndef RELACY_SHIM_POLLERS_TICKS_H
#define RELACY_SHIM_POLLERS_TICKS_H

static inline uint64_t ticks_now(void)
{
    if (shim::timeouts_left == 0 || rl::rand(2) == 0)
        return 0;
    shim::timeouts_left--;
    return UINT64_C(1) << 40;
}

static inline uint64_t ticks_from_ns(uint64_t ns)
{
    return ns;
}

static inline void ticks_pause(void)
{
    rl::yield(1, $);
}

#endif
