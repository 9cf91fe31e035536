// What the statistics of a map are taken from, for every instruction set alike.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace gelisol {

constexpr int64_t kStatistics = 7;  // mean, sd, ci_lower, ci_upper, uncertainty, pi_lower, pi_upper

// Columns of a design matrix of any strides, in floats.
struct Matrix {
    const float* x;
    int64_t row, column;
};

// Numbers up to `bound` as integers of 1 / scale.
struct FixedPoint {
    double bound, scale;
};

// Sites in descending order of their residual: which replicates vote on a new observation, and how far they may be off.
struct Votes {
    std::vector<double> residual, share;
    std::vector<uint8_t> codes;  // sites x chunks: which of four replicates vote
    int64_t kth;                 // the interval ends at the kth largest and smallest; 0: unbounded
    double least;                // no observation is below, and no end of an interval
    std::vector<double> reach;   // how far a vote may be from the mean of all replicates, in standard deviations
    double furthest = 0;         // the largest of these
};

struct Statistics {
    int64_t replicates, outputs;
    std::vector<double> intercept, slope;  // outputs x replicates: every output on the modelled one
    std::vector<Votes> votes;              // of each output
    double z;
    FixedPoint area, predicted, mean, square;

    int64_t chunks() const { return (replicates + 3) / 4; }
    size_t most_sites() const {
        size_t most = 1;
        for (const Votes& v : votes) most = std::max(most, v.residual.size());
        return most;
    }
};

// Training sites among which the nearest is sought.
struct Points {
    std::vector<int64_t> columns;
    std::vector<double> scale, places;  // places: sites x columns
};

// Where sums over zones go, as fixed-point integers; see `engine/zonal.py`.
struct Sums {
    int64_t zones;
    int64_t *cells, *area, *predicted, *mean, *square;  // (zones), (zones), (replicates, zones), 2 x (outputs, zones)
    double refused = 0, bound = 0;                      // a value beyond its bound, if there was any
    bool overflow = false;
};

}  // namespace gelisol
