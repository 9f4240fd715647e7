/* Counts what a server sends of its own accord: nobody here publishes. */
#ifndef ARRIVALS_H
#define ARRIVALS_H

#include "connections.h"

enum look { AT_NOTHING, AT_STAMPS, AT_MARKS };

/* Reads until `expected` messages have come over the first `count` connections, and then as long again as nothing more
 * may come; says what came. A stamp tells when a message was written. Marks tell messages apart: their digest says
 * which of them a connection had. */
void arrivals_count(struct pool *pool, int count, uint64_t expected, enum look look, uint64_t limit_ns);

#endif
