/* Counts what a server sends of its own accord: nobody here publishes. */
#ifndef ARRIVALS_H
#define ARRIVALS_H

#include "connections.h"

/* Reads until `expected` messages have come over the first `count` connections, and then as long again as nothing more
 * may come; says what came. With `stamped` each message tells when it was written. */
void arrivals_count(struct pool *pool, int count, uint64_t expected, bool stamped, uint64_t limit_ns);

#endif
