// What the statistics of a map are taken from, for every instruction set alike.
#pragma once

#include <algorithm>
#include <cmath>
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
    std::vector<float> residual, share;
    std::vector<uint8_t> codes;  // sites x chunks: which of four replicates vote
    int64_t kth;                 // the interval ends at the kth largest and smallest; 0: unbounded
    double least;                // no observation is below, and no end of an interval
    std::vector<float> reach;    // how far a vote may be from the mean of all replicates, in standard deviations
    float furthest = 0;          // the largest of these
    float rounding = 0;          // what sums in float32 may add to that

    // The mean of m of n numbers is within sqrt((n - m) / m) standard deviations of the mean of all.
    void prepare(int64_t replicates) {
        for (const float of_one : share) {
            reach.push_back(std::sqrt(std::max(0.0f, float(replicates) * of_one - 1)));
            furthest = std::max(furthest, reach.back());
        }
        rounding = float(replicates + 40) * (1 + furthest) * 0x1p-24f;
    }
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

// Training sites that cells are compared with.
struct Points {
    std::vector<int64_t> columns;
    std::vector<double> scale, places;  // places: sites x columns

    // Where they are, in order.
    std::vector<const double*> ordered() const {
        const size_t n = columns.size();
        std::vector<const double*> all;
        for (size_t at = 0; at < places.size(); at += n) all.push_back(places.data() + at);
        std::sort(all.begin(), all.end(), [n](auto a, auto b) { return std::lexicographical_compare(a, a + n, b, b + n); });
        return all;
    }

    // Each place once.
    std::vector<const double*> distinct() const {
        const size_t n = columns.size();
        std::vector<const double*> all = ordered();
        all.erase(std::unique(all.begin(), all.end(), [n](auto a, auto b) { return std::equal(a, a + n, b); }), all.end());
        return all;
    }
};

// Where sums over zones go, as fixed-point integers; see `engine/mapping/zonal_sums.py`.
struct Sums {
    int64_t zones;
    int64_t *cells, *area, *predicted, *mean, *square;  // (zones), (zones), (replicates, zones), 2 x (outputs, zones)
    double refused = 0, bound = 0;                      // a value beyond its bound, if there was any
    bool overflow = false;
};

}  // namespace gelisol
