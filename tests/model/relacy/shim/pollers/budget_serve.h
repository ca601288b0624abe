/* SPDX-License-Identifier: BSD-3-Clause */
/* Where nobody has a budget. */
#include "pollers/budget.h"
