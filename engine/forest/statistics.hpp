// What is taken of a cell's replicates, and its distance from the training sites. Included once per instruction set,
// after kernel.hpp, inside the same namespace. Each cell's numbers depend on its own values only, and are added up in
// the order in which `engine/mapping/predict_block.py` and `engine/ensemble/prediction_intervals.py` do: the same to the bit.

constexpr int kLanes = kBytes / 8;
using Doubles = GELISOL_VECTOR(double, kBytes);  // half as many cells as Floats
using Ints = GELISOL_VECTOR(int32_t, kBytes);
using Singles = GELISOL_VECTOR(float, kBytes / 2);

constexpr int kWide = 2 * kLanes;   // cells whose statistics are taken at the same time
constexpr int kSites = 64 / kWide;  // whose votes are
constexpr int kPoints = 4;          // whose distances are
constexpr int64_t kExchanges = 4;   // made without asking: cheaper than to guess wrong
constexpr int64_t kKept = 128;      // up to so many largest values are kept in order; of more, the last is selected

// Lane by lane: the first where the mask is set, else the second.
template <class Mask, class T>
inline T select(Mask mask, T set, T unset) {
#if defined(GELISOL_VECTORS)
    return mask ? set : unset;
#else
    return selected(mask, set, unset);
#endif
}
inline Doubles to_doubles(Singles values) { return GELISOL_CONVERT(values, Doubles); }
inline Singles to_singles(Doubles values) { return GELISOL_CONVERT(values, Singles); }

inline Doubles all_of(double value) { return value + Doubles{}; }
inline Floats all_of(float value) { return value + Floats{}; }
#if defined(GELISOL_AVX512)
inline Floats larger(Floats a, Floats b) { return Floats(_mm512_max_ps(__m512(a), __m512(b))); }
inline Floats smaller(Floats a, Floats b) { return Floats(_mm512_min_ps(__m512(a), __m512(b))); }
inline bool any_above(Floats a, Floats b) { return _mm512_cmp_ps_mask(__m512(a), __m512(b), _CMP_GT_OQ) != 0; }
inline Doubles larger(Doubles a, Doubles b) { return Doubles(_mm512_max_pd(__m512d(a), __m512d(b))); }
inline Doubles root(Doubles a) { return Doubles(_mm512_sqrt_pd(__m512d(a))); }
inline Floats joined(Singles a, Singles b) { return Floats(_mm512_insertf32x8(_mm512_castps256_ps512(__m256(a)), __m256(b), 1)); }
#elif defined(GELISOL_AVX2)
inline Floats larger(Floats a, Floats b) { return Floats(_mm256_max_ps(__m256(a), __m256(b))); }
inline Floats smaller(Floats a, Floats b) { return Floats(_mm256_min_ps(__m256(a), __m256(b))); }
inline bool any_above(Floats a, Floats b) { return _mm256_movemask_ps(_mm256_cmp_ps(__m256(a), __m256(b), _CMP_GT_OQ)) != 0; }
inline Doubles larger(Doubles a, Doubles b) { return Doubles(_mm256_max_pd(__m256d(a), __m256d(b))); }
inline Doubles root(Doubles a) { return Doubles(_mm256_sqrt_pd(__m256d(a))); }
inline Floats joined(Singles a, Singles b) { return Floats(_mm256_insertf128_ps(_mm256_castps128_ps256(__m128(a)), __m128(b), 1)); }
#else
template <class T>
inline T larger(T a, T b) { return select(a > b, a, b); }
inline Floats smaller(Floats a, Floats b) { return select(a < b, a, b); }
inline bool any_above(Floats a, Floats b) {
    const Ints above = a > b;
    int32_t found = 0;
    for (int lane = 0; lane < kWide; ++lane) found |= above[lane];
    return found != 0;
}
inline Doubles root(Doubles a) {
    for (int lane = 0; lane < kLanes; ++lane) a[lane] = std::sqrt(a[lane]);
    return a;
}
inline Floats joined(Singles a, Singles b) {
    Floats both;
    std::memcpy(&both, &a, sizeof a);
    std::memcpy(reinterpret_cast<char*>(&both) + sizeof a, &b, sizeof b);
    return both;
}
#endif
// The first or the second half of some cells.
inline Doubles half(const Floats& of, int which) {
    const char* from = reinterpret_cast<const char*>(&of) + which * sizeof(Singles);
#if defined(GELISOL_AVX512)
    return Doubles(_mm512_cvtps_pd(_mm256_load_ps(reinterpret_cast<const float*>(from))));
#else
    Singles some;
    std::memcpy(&some, from, sizeof some);
    return to_doubles(some);
#endif
}
inline Floats joined(const Doubles* a) { return joined(to_singles(a[0]), to_singles(a[1])); }

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

// Adds the terms of cells to the sums of their zones; one beyond the bound, or not a number, is refused.
template <class Term>
static void add(const FixedPoint& format, Term term, const std::vector<Run>& runs, int64_t* to, Sums& sums) {
    for (const Run& run : runs) {
        int64_t sum = 0, beyond = 0;
        for (int i = run.first; i < run.last; ++i) {
            beyond |= !(std::fabs(term(i)) <= format.bound);
            sum += fixed_point(term(i) * format.scale);
        }
        to[run.zone] += sum;
        if (!beyond) continue;
        for (int i = run.first; i < run.last; ++i)
            if (!(std::fabs(term(i)) <= format.bound)) sums.refused = term(i);
        sums.bound = format.bound;
        sums.overflow = true;
    }
}

// The k largest values seen so far, in descending order, cell by cell. Values that come in nearly that order are put in
// place by few exchanges.
struct Largest {
    Floats kept[kKept];
    int64_t k;

    explicit Largest(int64_t count) : k(count) {
        for (int64_t i = 0; i < k; ++i) kept[i] = all_of(-HUGE_VALF);
    }
    // `seen`: how many were taken before. Gives the kth largest of all.
    Floats take(Floats value, int64_t seen) {
        if (seen >= k && !any_above(value, kept[k - 1])) return kept[k - 1];
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
    Aligned<Floats> predicted, subsets, low, high;
    Aligned<double> mean;
    std::vector<float> selected;
    std::vector<Run> runs;

    explicit Room(const Statistics& s)
        : predicted(s.replicates), subsets(16 * s.chunks()), low(s.most_sites()), high(s.most_sites()), mean(s.outputs * kCells),
          selected(s.most_sites()) {}

    // The k-th largest of the first `count` values, cell by cell; at least k of them are not below the floor.
    Floats kth_largest(const Aligned<Floats>& of, int64_t count, int64_t k, Floats floor) {
        Floats result;
        for (int lane = 0; lane < kWide; ++lane) {
            const float* value = reinterpret_cast<const float*>(of.get()) + lane;
            int64_t kept = 0;
            for (int64_t i = 0; i < count; ++i, value += kWide) {
                selected[kept] = -*value;
                kept += *value >= floor[lane];
            }
            if (kept >= k) std::nth_element(selected.begin(), selected.begin() + (k - 1), selected.begin() + kept);
            result[lane] = kept >= k ? -selected[k - 1] : NAN;  // numbers that overflow are refused by the sums
        }
        return result;
    }
};

// Values of some cells, as far as they are from those of the first replicate: their sums, those over every subset of four
// replicates, and what is added to them.
struct Spread {
    Doubles first[2], total[2], squares[2];
};
static Spread spread(int64_t replicates, const double* intercept, const double* slope, const Floats* predicted, Floats* subsets) {
    Spread s;
    for (int i = 0; i < 2; ++i) {
        s.first[i] = intercept[0] + slope[0] * half(predicted[0], i);
        s.total[i] = s.squares[i] = all_of(0.0);
    }
    for (int64_t chunk = 0; 4 * chunk < replicates; ++chunk) {
        Floats* sums = subsets + 16 * chunk;
        sums[0] = all_of(0.0f);
GELISOL_UNROLL(4)
        for (int bit = 0; bit < 4; ++bit) {
            const int64_t r = 4 * chunk + bit;
            Floats value = all_of(0.0f);
            if (r < replicates) {
                Doubles apart[2];
                for (int i = 0; i < 2; ++i) {
                    apart[i] = intercept[r] + slope[r] * half(predicted[r], i) - s.first[i];
                    s.total[i] += apart[i];
                    s.squares[i] += apart[i] * apart[i];
                }
                value = joined(apart);
            }
GELISOL_UNROLL(8)
            for (int code = 0; code < 1 << bit; ++code) sums[code | 1 << bit] = code ? sums[code] + value : value;
        }
    }
    return s;
}

// How far the ends of the prediction interval are below and above the first replicate, from the sums over subsets of some
// cells, the mean of all replicates and their SD (with n).
static void interval(const Votes& votes, int64_t chunks, Floats mean, Floats sd, Room& room, Floats& lower, Floats& upper) {
    const int64_t sites = int64_t(votes.residual.size()), k = votes.kth;
    if (k < 1) {
        lower = upper = all_of(HUGE_VALF);
        return;
    }
    // The mean of some of the values is no further from that of all than a site's reach, in standard deviations. Sites
    // come in descending order of their residuals: the k largest so far set a floor, or the first k; a site that cannot
    // reach it is passed over, and once none could, the rest is.
    const Floats slack = votes.rounding * (sd + larger(mean, -mean)) + 1e-6f * votes.residual[0];
    const bool few = k <= kKept;
    Largest lows(few ? k : 1), highs(few ? k : 1);
    Floats low_floor = all_of(few ? -HUGE_VALF : HUGE_VALF), high_floor = low_floor, least = low_floor;
    const auto matters = [&](int64_t site, float reach) { return any_above(votes.residual[site] + reach * sd, least); };
    const Floats* subsets = room.subsets.get();
    int64_t seen = 0;
    for (int64_t site = 0; site < sites;) {
        // Several sites at a time: the additions of one need not wait for those of another.
        int64_t next[kSites];
        int n = 0;
        if (seen >= k && !matters(site, votes.furthest)) break;
        for (; site < sites && n < kSites; ++site)
            if (seen + n < k || matters(site, votes.reach[site])) next[n++] = site;
        if (n == 0) break;
        Floats vote[kSites];
        const uint8_t* code[kSites];
        for (int i = 0; i < kSites; ++i) {
            code[i] = votes.codes.data() + next[std::min(i, n - 1)] * chunks;
            vote[i] = subsets[code[i][0]];
        }
        for (int64_t chunk = 1; chunk < chunks; ++chunk)
            for (int i = 0; i < kSites; ++i) vote[i] += subsets[16 * chunk + code[i][chunk]];
        for (int i = 0; i < n; ++i, ++seen) {
            vote[i] *= votes.share[next[i]];
            const Floats residual = all_of(votes.residual[next[i]]), low = residual - vote[i], high = residual + vote[i];
            if (few) {
                low_floor = lows.take(low, seen), high_floor = highs.take(high, seen);
            } else {
                room.low.get()[seen] = low, room.high.get()[seen] = high;
                if (seen < k) low_floor = smaller(low_floor, low), high_floor = smaller(high_floor, high);
            }
        }
        least = smaller(low_floor + mean, high_floor - mean) - slack;
    }
    lower = few ? low_floor : room.kth_largest(room.low, seen, k, low_floor);
    upper = few ? high_floor : room.kth_largest(room.high, seen, k, high_floor);
}

// Writes one statistic of `n` cells.
inline void put(float* to, const Doubles* values, int n) {
    const Floats both = joined(values);
    std::memcpy(to, &both, size_t(n) * sizeof(float));
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
    const double count = double(replicates);
    for (int cell = 0; cell < n; cell += kWide) {
        const int some = std::min(kWide, n - cell);
        for (int64_t r = 0; r < replicates; ++r) std::memcpy(room.predicted.get() + r, predicted + r * stride + cell, sizeof(Floats));
        for (int64_t output = 0; output < s.outputs; ++output) {
            const Spread found = spread(replicates, s.intercept.data() + output * replicates, s.slope.data() + output * replicates,
                                        room.predicted.get(), room.subsets.get());
            Doubles mean[2], apart[2], sd[2], half_width[2], values[2], deviation[2];
            for (int i = 0; i < 2; ++i) {
                apart[i] = found.total[i] / count;
                mean[i] = found.first[i] + apart[i];
                const Doubles squares = larger(all_of(0.0), found.squares[i] - found.total[i] * apart[i]);
                sd[i] = root(squares / (count - 1));
                deviation[i] = root(squares / count);
                half_width[i] = s.z * sd[i] / std::sqrt(count);
            }
            Floats lower, upper;
            interval(s.votes[output], s.chunks(), joined(apart), joined(deviation), room, lower, upper);
            float* to = out + output * kStatistics * cells + cell;
            put(to, mean, some);
            put(to + cells, sd, some);
            for (int i = 0; i < 2; ++i) values[i] = mean[i] - half_width[i];
            put(to + 2 * cells, values, some);
            for (int i = 0; i < 2; ++i) values[i] = mean[i] + half_width[i];
            put(to + 3 * cells, values, some);
            for (int i = 0; i < 2; ++i) values[i] = select(mean[i] != 0.0, 2.0 * half_width[i] / mean[i], all_of(double(NAN)));
            put(to + 4 * cells, values, some);
            const Doubles least = all_of(s.votes[output].least);
            for (int i = 0; i < 2; ++i) values[i] = larger(least, found.first[i] - half(lower, i));
            put(to + 5 * cells, values, some);
            for (int i = 0; i < 2; ++i) values[i] = larger(least, found.first[i] + half(upper, i));
            put(to + 6 * cells, values, some);
            std::memcpy(room.mean.get() + output * kCells + cell, mean, sizeof mean);
        }
    }
    for (int64_t output = 0; output < s.outputs; ++output) {
        const double* mean = room.mean.get() + output * kCells;
        add(s.mean, [&](int i) { return mean[i] * area[i]; }, runs, sums.mean + output * sums.zones, sums);
        add(s.square, [&](int i) { return mean[i] * mean[i] * area[i]; }, runs, sums.square + output * sums.zones, sums);
    }
    for (int64_t r = 0; r < replicates; ++r) {
        const float* values = predicted + r * stride;
        add(s.predicted, [&](int i) { return double(values[i]) * area[i]; }, runs, sums.predicted + r * sums.zones, sums);
    }
    add(s.area, [&](int i) { return area[i]; }, runs, sums.area, sums);
    for (const Run& run : runs) sums.cells[run.zone] += run.last - run.first;
}

// Squared distance of a cell from a point, dimension by dimension; of `at` those of a cell are `stride` apart.
inline double apart(const double* at, int64_t stride, const double* place, int64_t dimensions) {
    double squares = 0;
    for (int64_t d = 0; d < dimensions; ++d) squares += (at[d * stride] - place[d]) * (at[d * stride] - place[d]);
    return squares;
}

// Points in float32, `kPoints` together, and their exact places; the last batch is filled up with points that are far off.
struct Batches {
    const std::vector<const double*> points;
    const int64_t dimensions;
    const size_t count;
    std::vector<float> places;  // batches x dimensions x kPoints
    double longest = 0;         // square of the largest distance from the origin
    // With u = 2^-24, a distance in float32 is off by u (|cell| + |point|) and u (dimensions + 3) / 2 of itself at most.
    // Squares of two distances that differ by more than this share and `margin` tell which is larger.
    const float of_square;

    Batches(std::vector<const double*> those, int64_t n)
        : points(std::move(those)), dimensions(n), count((points.size() + kPoints - 1) / kPoints),
          places(count * kPoints * size_t(n), HUGE_VALF), of_square(2e-5f + float(n + 3) * 0x1p-22f) {
        for (size_t i = 0; i < points.size(); ++i) {
            float* place = places.data() + i / kPoints * kPoints * size_t(n) + i % kPoints;
            for (int64_t d = 0; d < n; ++d) place[d * kPoints] = float(points[i][d]);
            longest = std::max(longest, std::inner_product(points[i], points[i] + n, points[i], 0.0));
        }
    }

    // Squared distances of cells from the points of a batch; false where all turn out to lie beyond `limit`.
    GELISOL_INLINE bool squares_of(size_t batch, const Floats* at, Floats limit, Floats* squares) const {
        const float* place = places.data() + batch * kPoints * size_t(dimensions);
        bool near = true;
        for (int64_t d = 0; near && d < dimensions;) {
            for (const int64_t last = std::min<int64_t>(d + 4, dimensions); d < last; ++d, place += kPoints)
                for (int j = 0; j < kPoints; ++j) squares[j] += (at[d] - place[j]) * (at[d] - place[j]);
            Floats least = squares[0];
            for (int j = 1; j < kPoints; ++j) least = smaller(least, squares[j]);
            near = any_above(limit, least);  // distances only grow
        }
        return near;
    }
};

// Cells side by side, scaled: exactly, and in float32.
struct Scaled {
    Aligned<double> exact;  // dimensions x kWide
    Aligned<Floats> at;

    explicit Scaled(int64_t dimensions) : exact(dimensions * kWide), at(dimensions) {}

    // Takes cells from `cell` on; returns how far float32 may be off the square of a distance, beside a share of it.
    Floats take(const Points& p, const Matrix& x, int64_t cell, int64_t cells, double longest) {
        Floats length = all_of(float(longest));
        for (size_t d = 0; d < p.columns.size(); ++d) {
            const float* column = x.x + p.columns[d] * x.column;
            double* scaled = exact.get() + d * kWide;
            for (int lane = 0; lane < kWide; ++lane) scaled[lane] = double(column[std::min(cell + lane, cells - 1) * x.row]) * p.scale[d];
            at.get()[d] = joined(reinterpret_cast<const Doubles*>(scaled));
            length += at.get()[d] * at.get()[d];
        }
        return 1e-8f * length + 1e-37f;  // and what is lost below the least float32
    }
};

// Squared distance of each cell from the nearest point, both scaled. Which point that is, float32 tells unless another
// one is nearly as near; the distance is taken in float64.
static void nearest(const Points& p, const Matrix& x, int64_t cells, double* out) {
    const Batches near(p.distinct(), int64_t(p.columns.size()));
    Scaled scaled(near.dimensions);
    size_t found = 0;
    for (int64_t cell = 0; cell < cells; cell += kWide) {
        const Floats margin = scaled.take(p, x, cell, cells, near.longest);
        Floats best = all_of(HUGE_VALF), second = best, limit = best;
        Ints which = {};
        // The point that was nearest to the cells before is likely to be near to these: most others then are soon too far.
        const size_t first = found / kPoints;
        for (size_t i = 0; i <= near.count; ++i) {
            const size_t batch = i ? i - 1 : first;
            if (i && batch == first) continue;
            Floats squares[kPoints] = {};
            if (!near.squares_of(batch, scaled.at.get(), limit, squares)) continue;
            for (int j = 0; j < kPoints; ++j) {
                const Ints closer = squares[j] < best;
                second = select(closer, best, smaller(second, squares[j]));
                which = select(closer, int32_t(batch * kPoints + size_t(j)) + Ints{}, which);
                best = smaller(best, squares[j]);
            }
            limit = best + near.of_square * best + margin;
        }
        found = size_t(which[0]);
        for (int lane = 0; lane < kWide && cell + lane < cells; ++lane) {
            const double* at = scaled.exact.get() + lane;
            double& nearest = out[cell + lane] = apart(at, kWide, near.points[size_t(which[lane])], near.dimensions);
            if (second[lane] > limit[lane]) continue;
            for (const double* point : near.points) nearest = std::min(nearest, apart(at, kWide, point, near.dimensions));
        }
    }
}

// How many points have a squared distance from each cell below `bound`. Float32 tells, but for points that lie close to
// the bound, whose distance is taken in float64.
static void within(const Points& p, double bound, const Matrix& x, int64_t cells, int32_t* out) {
    const Batches near(p.ordered(), int64_t(p.columns.size()));
    Scaled scaled(near.dimensions);
    const bool fits = bound < 1e37 && near.longest < 1e37;
    const Floats middle = all_of(fits ? float(bound) : 0.0f);
    for (int64_t cell = 0; cell < cells; cell += kWide) {
        const Floats unsure = scaled.take(p, x, cell, cells, near.longest) + near.of_square * middle, limit = middle + unsure;
        const int some = int(std::min<int64_t>(kWide, cells - cell));
        Ints count = {};
        for (size_t batch = 0; batch < near.count; ++batch) {
            Floats squares[kPoints] = {}, closest = all_of(HUGE_VALF);
            if (fits && !near.squares_of(batch, scaled.at.get(), limit, squares)) continue;
            Ints inside = {};
            for (int j = 0; j < kPoints; ++j) {
                const Floats off = squares[j] - middle;
                inside -= squares[j] < middle;
                closest = smaller(closest, larger(off, -off));
            }
            if (fits && !any_above(unsure, closest)) {
                count += inside;
                continue;
            }
            const size_t last = std::min((batch + 1) * kPoints, near.points.size());
            for (size_t i = batch * kPoints; i < last; ++i)
                for (int lane = 0; lane < some; ++lane)
                    count[lane] += apart(scaled.exact.get() + lane, kWide, near.points[i], near.dimensions) < bound;
        }
        for (int lane = 0; lane < some; ++lane) out[cell + lane] = count[lane];
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
    static constexpr auto points_within = within;
};
