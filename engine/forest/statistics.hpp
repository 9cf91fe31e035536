// What is taken of a cell's replicates, and its distance from the training sites. Included once per instruction set,
// after kernel.hpp, inside the same namespace. Each cell's numbers depend on its own values only, and are added up in
// the order in which `engine/onepass.py` and `engine/jackknife.py` do: the same to the bit.

constexpr int kLanes = kBytes / 8;
typedef double Doubles __attribute__((vector_size(kBytes)));  // some cells
typedef int64_t Longs __attribute__((vector_size(kBytes)));
typedef float Singles __attribute__((vector_size(kBytes / 2)));

constexpr int kVectors = 2;        // of cells, whose sums are taken at the same time
constexpr int kSites = 32 / kLanes;  // whose votes are
constexpr int64_t kExchanges = 4;  // made without asking: cheaper than to guess wrong
constexpr int64_t kKept = 128;     // up to so many largest values are kept in order; of more, the last is selected

inline Doubles all_of(double value) { return value + Doubles{}; }
#if defined(GELISOL_AVX512)
inline Doubles larger(Doubles a, Doubles b) { return Doubles(_mm512_max_pd(__m512d(a), __m512d(b))); }
inline Doubles smaller(Doubles a, Doubles b) { return Doubles(_mm512_min_pd(__m512d(a), __m512d(b))); }
inline bool any_above(Doubles a, Doubles b) { return _mm512_cmp_pd_mask(__m512d(a), __m512d(b), _CMP_GT_OQ) != 0; }
#elif defined(GELISOL_AVX2)
inline Doubles larger(Doubles a, Doubles b) { return Doubles(_mm256_max_pd(__m256d(a), __m256d(b))); }
inline Doubles smaller(Doubles a, Doubles b) { return Doubles(_mm256_min_pd(__m256d(a), __m256d(b))); }
inline bool any_above(Doubles a, Doubles b) { return _mm256_movemask_pd(_mm256_cmp_pd(__m256d(a), __m256d(b), _CMP_GT_OQ)) != 0; }
#else
inline Doubles larger(Doubles a, Doubles b) { return a > b ? a : b; }
inline Doubles smaller(Doubles a, Doubles b) { return a < b ? a : b; }
inline bool any_above(Doubles a, Doubles b) {
    const Longs above = a > b;
    int64_t found = 0;
    for (int lane = 0; lane < kLanes; ++lane) found |= above[lane];
    return found != 0;
}
#endif

// To integers of 2^-bits, rounded to even: below 2^51 the mantissa of 1.5 * 2^52 + x is the integer x.
inline int64_t fixed_point(double scaled) {
    constexpr double magic = 6755399441055744.0;
    const double shifted = scaled + magic;
    int64_t bits, zero;
    std::memcpy(&bits, &shifted, 8);
    std::memcpy(&zero, &magic, 8);
    return bits - zero;
}

// Consecutive cells of one zone.
struct Run {
    int first, last;
    int64_t zone;
};

// Adds terms to the sums of their zones; one beyond the bound, or not a number, is refused.
static void add(const FixedPoint& format, const double* terms, int n, const std::vector<Run>& runs, int64_t* to, Sums& sums) {
    int beyond = 0;
    for (int i = 0; i < n; ++i) beyond |= !(std::fabs(terms[i]) <= format.bound);
    if (beyond) {
        for (int i = 0; i < n; ++i)
            if (!(std::fabs(terms[i]) <= format.bound)) sums.refused = terms[i];
        sums.bound = format.bound;
        sums.overflow = true;
        return;
    }
    for (const Run& run : runs) {
        int64_t sum = 0;
        for (int i = run.first; i < run.last; ++i) sum += fixed_point(terms[i] * format.scale);
        to[run.zone] += sum;
    }
}

// The k largest values seen so far, in descending order, cell by cell. Values that come in nearly that order are put in
// place by few exchanges.
struct Largest {
    Doubles kept[kKept];
    int64_t k;

    explicit Largest(int64_t count) : k(count) {
        for (int64_t i = 0; i < k; ++i) kept[i] = all_of(-HUGE_VAL);
    }
    // `seen`: how many were taken before. Gives the kth largest of all.
    Doubles take(Doubles value, int64_t seen) {
        int64_t i = std::min(seen, k - 1);
        const int64_t sure = std::max<int64_t>(i - kExchanges, 0);
        value = larger(kept[i], value);
        for (; i > sure; --i) {
            kept[i] = smaller(kept[i - 1], value);
            value = larger(kept[i - 1], value);
        }
        for (; i > 0 && any_above(value, kept[i - 1]); --i) {
            kept[i] = smaller(kept[i - 1], value);
            value = larger(kept[i - 1], value);
        }
        kept[i] = value;
        return kept[k - 1];
    }
};

struct Room {
    Aligned<Doubles> values, subsets, low, high;
    std::vector<double> selected;
    std::vector<Run> runs;

    explicit Room(const Statistics& s)
        : values(kVectors * s.replicates), subsets(16 * s.chunks()), low(s.most_sites()), high(s.most_sites()), selected(s.most_sites()) {}

    // The k-th largest of the first `count` values, cell by cell; at least k of them are not below the floor.
    Doubles kth_largest(const Aligned<Doubles>& of, int64_t count, int64_t k, Doubles floor) {
        Doubles result;
        for (int lane = 0; lane < kLanes; ++lane) {
            const double* value = reinterpret_cast<const double*>(of.get()) + lane;
            int64_t kept = 0;
            for (int64_t i = 0; i < count; ++i, value += kLanes) {
                selected[kept] = -*value;
                kept += *value >= floor[lane];
            }
            std::nth_element(selected.begin(), selected.begin() + (k - 1), selected.begin() + kept);
            result[lane] = -selected[k - 1];
        }
        return result;
    }
};

// Both ends of the prediction interval of a vector of cells from the values of one output, whose mean is `mean` and whose
// squared deviations add up to `squared`.
static void interval(const Votes& votes, int64_t replicates, const Doubles* values, Doubles mean, Doubles squared, Room& room,
                     Doubles& lower, Doubles& upper) {
    const int64_t sites = int64_t(votes.residual.size()), k = votes.kth, chunks = (replicates + 3) / 4;
    if (k < 1) {
        lower = all_of(-HUGE_VAL), upper = all_of(HUGE_VAL);
        return;
    }
    // Sums over every subset of four replicates: a site's vote then takes a quarter of the additions.
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        Doubles* sums = room.subsets.get() + 16 * chunk;
        sums[0] = all_of(0.0);
#pragma GCC unroll 4
        for (int bit = 0; bit < 4; ++bit) {
            const int64_t r = 4 * chunk + bit;
            const Doubles value = r < replicates ? values[r] : all_of(0.0);
#pragma GCC unroll 8
            for (int code = 0; code < 1 << bit; ++code) sums[code | 1 << bit] = sums[code] + value;
        }
    }
    // The mean of some of the values is no further from that of all than a site's reach, in standard deviations. Sites
    // come in descending order of their residuals: the k largest so far set a floor, or the first k; a site that cannot
    // reach it is passed over, and once none could, the rest is.
    Doubles sd;
    for (int lane = 0; lane < kLanes; ++lane) sd[lane] = std::sqrt(squared[lane] / double(replicates));
    const Doubles slack = 1e-9 * larger(mean, -mean);
    const bool few = k <= kKept;
    Largest lows(few ? k : 1), highs(few ? k : 1);
    Doubles low_floor = all_of(few ? -HUGE_VAL : HUGE_VAL), high_floor = low_floor;
    const auto matters = [&](int64_t site, double reach) {
        const Doubles most = votes.residual[site] + reach * sd + slack;
        return any_above(larger(most + mean - high_floor, most - mean - low_floor), all_of(0.0));
    };
    int64_t seen = 0;
    for (int64_t site = 0; site < sites;) {
        // Several sites at a time: the additions of one need not wait for those of another.
        int64_t next[kSites];
        int n = 0;
        for (; site < sites && n < kSites; ++site) {
            if (seen + n >= k && !matters(site, votes.furthest)) site = sites;
            else if (seen + n < k || matters(site, votes.reach[site])) next[n++] = site;
        }
        if (n == 0) break;
        Doubles vote[kSites];
        const uint8_t* code[kSites];
        for (int i = 0; i < kSites; ++i) {
            code[i] = votes.codes.data() + next[std::min(i, n - 1)] * chunks;
            vote[i] = room.subsets.get()[code[i][0]];
        }
        for (int64_t chunk = 1; chunk < chunks; ++chunk)
            for (int i = 0; i < kSites; ++i) vote[i] += room.subsets.get()[16 * chunk + code[i][chunk]];
        for (int i = 0; i < n; ++i, ++seen) {
            vote[i] *= votes.share[next[i]];
            const Doubles residual = all_of(votes.residual[next[i]]), low = residual - vote[i], high = residual + vote[i];
            if (few) {
                low_floor = lows.take(low, seen), high_floor = highs.take(high, seen);
            } else {
                room.low.get()[seen] = low, room.high.get()[seen] = high;
                if (seen < k) low_floor = smaller(low_floor, low), high_floor = smaller(high_floor, high);
            }
        }
    }
    lower = few ? -low_floor : -room.kth_largest(room.low, seen, k, low_floor);
    upper = few ? high_floor : room.kth_largest(room.high, seen, k, high_floor);
}

// Statistics of the cells of a group, and what they add to the sums of their zones.
// `predicted`: replicates x stride, with room for whole vectors of cells; `out`: outputs x kStatistics x cells.
static void summarise(const Statistics& s, const float* predicted, int64_t stride, int n, const double* area, const int64_t* zone,
                      float* out, int64_t cells, Room& room, Sums& sums) {
    const int64_t replicates = s.replicates;
    std::vector<Run>& runs = room.runs;
    runs.clear();
    for (int cell = 0; cell < n; ++cell) {
        if (runs.empty() || runs.back().zone != zone[cell]) runs.push_back({cell, cell, zone[cell]});
        ++runs.back().last;
    }
    double centre[kCells], spread[kCells];
    for (int64_t output = 0; output < s.outputs; ++output) {
        const double* intercept = s.intercept.data() + output * replicates;
        const double* slope = s.slope.data() + output * replicates;
        float* to = out + output * kStatistics * cells;
        for (int cell = 0; cell < n; cell += kVectors * kLanes) {
            Doubles* values[kVectors];
            Doubles total[kVectors], mean[kVectors], squared[kVectors];
            for (int i = 0; i < kVectors; ++i) {
                values[i] = room.values.get() + i * replicates;
                total[i] = squared[i] = all_of(0.0);
            }
            for (int64_t r = 0; r < replicates; ++r) {
                for (int i = 0; i < kVectors; ++i) {
                    Singles some;
                    std::memcpy(&some, predicted + r * stride + cell + i * kLanes, sizeof some);
                    values[i][r] = intercept[r] + slope[r] * __builtin_convertvector(some, Doubles);
                    total[i] += values[i][r] - values[i][0];
                }
            }
            for (int i = 0; i < kVectors; ++i) mean[i] = values[i][0] + total[i] / double(replicates);
            for (int64_t r = 0; r < replicates; ++r)
                for (int i = 0; i < kVectors; ++i) squared[i] += (values[i][r] - mean[i]) * (values[i][r] - mean[i]);
            for (int i = 0; i < kVectors && cell + i * kLanes < n; ++i) {
                Doubles lower, upper;
                interval(s.votes[output], replicates, values[i], mean[i], squared[i], room, lower, upper);
                for (int lane = 0, at = cell + i * kLanes; lane < kLanes && at < n; ++lane, ++at) {
                    centre[at] = mean[i][lane], spread[at] = squared[i][lane];
                    to[5 * cells + at] = float(std::max(lower[lane], s.votes[output].least));
                    to[6 * cells + at] = float(std::max(upper[lane], s.votes[output].least));
                }
            }
        }
        const double root = std::sqrt(double(replicates));
        for (int cell = 0; cell < n; ++cell) {
            const double mean = centre[cell], sd = std::sqrt(spread[cell] / double(replicates - 1)), half = s.z * sd / root;
            to[0 * cells + cell] = float(mean);
            to[1 * cells + cell] = float(sd);
            to[2 * cells + cell] = float(mean - half);
            to[3 * cells + cell] = float(mean + half);
            to[4 * cells + cell] = mean != 0 ? float(2 * half / mean) : NAN;
            spread[cell] = mean * mean * area[cell];
            centre[cell] = mean * area[cell];
        }
        add(s.mean, centre, n, runs, sums.mean + output * sums.zones, sums);
        add(s.square, spread, n, runs, sums.square + output * sums.zones, sums);
    }
    double terms[kCells];
    for (int64_t r = 0; r < replicates; ++r) {
        for (int cell = 0; cell < n; ++cell) terms[cell] = double(predicted[r * stride + cell]) * area[cell];
        add(s.predicted, terms, n, runs, sums.predicted + r * sums.zones, sums);
    }
    add(s.area, area, n, runs, sums.area, sums);
    for (const Run& run : runs) sums.cells[run.zone] += run.last - run.first;
}

// Squared distance of each cell from the nearest point, both scaled; two vectors of cells at a time.
static void nearest(const Points& p, const Matrix& x, int64_t cells, double* out) {
    const int64_t dimensions = int64_t(p.columns.size()), points = int64_t(p.places.size()) / dimensions;
    Aligned<Doubles> at(2 * dimensions);
    int64_t found = 0;
    for (int64_t cell = 0; cell < cells; cell += 2 * kLanes) {
        for (int64_t d = 0; d < dimensions; ++d) {
            const float* column = x.x + p.columns[d] * x.column;
            for (int lane = 0; lane < 2 * kLanes; ++lane)
                at.get()[2 * d + lane / kLanes][lane % kLanes] =
                    double(column[std::min(cell + lane, cells - 1) * x.row]) * p.scale[d];
        }
        Doubles best[2] = {all_of(HUGE_VAL), all_of(HUGE_VAL)};
        // The point that was nearest to the cells before is likely to be near to these: most others then are soon too far.
        const int64_t first = found;
        for (int64_t i = 0; i <= points; ++i) {
            const int64_t point = i ? i - 1 : first;
            const double* place = p.places.data() + point * dimensions;
            Doubles a = all_of(0.0), b = all_of(0.0);
            int64_t d = 0;
            for (; d < dimensions; ++d) {
                const Doubles apart_a = at.get()[2 * d] - place[d], apart_b = at.get()[2 * d + 1] - place[d];
                a += apart_a * apart_a, b += apart_b * apart_b;
                if (d % 4 == 3 && !any_above(best[0], a) && !any_above(best[1], b)) break;  // they only grow
            }
            if (d < dimensions) continue;
            if (best[0][0] > a[0]) found = point;
            best[0] = smaller(best[0], a), best[1] = smaller(best[1], b);
        }
        for (int lane = 0; lane < 2 * kLanes && cell + lane < cells; ++lane) out[cell + lane] = best[lane / kLanes][lane % kLanes];
    }
}

// What the instruction set offers, as one type.
struct Code {
    static constexpr int cells = kCells;
    using Predicting = Scratch;
    using Summarising = Room;
    static constexpr auto predict = predict_groups;
    static constexpr auto summarise_cells = summarise;
    static constexpr auto nearest_point = nearest;
};
