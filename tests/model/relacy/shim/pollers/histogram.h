/* SPDX-License-Identifier: BSD-3-Clause */
/* pollers/histogram.h: see counter.h. */
#include "pollers/counter.h"
