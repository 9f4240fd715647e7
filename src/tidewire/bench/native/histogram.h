/* Times in nanoseconds, kept to within two per cent in a fixed table: a record costs one increment. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>
#include <string.h>

#define HISTOGRAM_STEPS 64u /* between a power of two and the next */

struct histogram {
    uint64_t counts[64 * HISTOGRAM_STEPS];
    uint64_t total, largest;
};

static inline void histogram_clear(struct histogram *histogram) { memset(histogram, 0, sizeof *histogram); }

static inline void histogram_add(struct histogram *histogram, uint64_t value_ns) {
    if (value_ns < HISTOGRAM_STEPS) value_ns = HISTOGRAM_STEPS; /* below 64 ns nothing is told apart */
    unsigned power = 63u - (unsigned)__builtin_clzll(value_ns);
    histogram->counts[power * HISTOGRAM_STEPS + ((value_ns >> (power - 6)) & (HISTOGRAM_STEPS - 1))]++;
    histogram->total++;
    if (value_ns > histogram->largest) histogram->largest = value_ns;
}

/* The time below which `share` of all records lie, in milliseconds. */
static inline double histogram_percentile_ms(const struct histogram *histogram, double share) {
    uint64_t rank = (uint64_t)(share * (double)histogram->total), seen = 0;
    for (unsigned slot = 0; slot < 64 * HISTOGRAM_STEPS; slot++) {
        seen += histogram->counts[slot];
        if (seen <= rank) continue;
        unsigned power = slot / HISTOGRAM_STEPS;
        uint64_t upper = (1ull << power) + ((uint64_t)(slot % HISTOGRAM_STEPS + 1) << (power - 6));
        return (double)(upper < histogram->largest ? upper : histogram->largest) / 1e6;
    }
    return (double)histogram->largest / 1e6;
}

#endif
