// Evaluates a forest on groups of cells, as many as a vector has bits. Included once per instruction set, inside a
// namespace of its own.
//
// Every comparison of the forest is made once per group, and its outcome kept as one bit per cell. A tree then is a few
// bitwise operations on all cells of the group, which give each cell the code of its leaf, bit by bit; the bits are turned
// into nibbles or bytes, and these look the leaf's value up. Nothing branches on data, and sums are taken tree by tree in
// the order of the model, so that they are those of the library that trained it, to the bit.

#if defined(GELISOL_AVX512)
constexpr int kCells = 512;
// Where the bit of cell n is, byte and bit: codes that are shifted to the right in lanes of 32 bits are those of 16 cells
// in their order.
inline constexpr int byte_of(int n) { return 4 * (n % 16) + n / 128; }
inline constexpr int bit_of(int n) { return n / 16 % 8; }
#else
constexpr int kCells = 256;
// Where the bit of cell n is, byte and bit: bytes that are looked up and interleaved end up in the order of cells.
inline constexpr int byte_of(int n) { return 4 * (n / 8 % 4) + n % 4 + 16 * (n / 4 % 2); }
inline constexpr int bit_of(int n) { return n / 32; }
#endif
constexpr int kBytes = kCells / 8;

using Bits = GELISOL_VECTOR(uint64_t, kBytes);  // one bit per cell
using Floats = GELISOL_VECTOR(float, kBytes);

static const Bits kNone = Bits{};
static const Bits kAll = ~Bits{};

// Cells that are beyond a node's separator: of those that reached the node the ones that go right, and all further on.
GELISOL_INLINE Bits beyond(Bits lower, Bits right, Bits upper) {
#if defined(GELISOL_AVX512)
    return Bits(_mm512_ternarylogic_epi64(__m512i(lower), __m512i(right), __m512i(upper), 0xea));  // (lower & right) | upper
#else
    return (lower & right) | upper;
#endif
}

// Memory aligned to a vector.
template <class T>
class Aligned {
  public:
    explicit Aligned(size_t n = 0) : n_(n), memory_(static_cast<T*>(::operator new((n + 1) * sizeof(T), kAlignment))) {
        std::memset(static_cast<void*>(memory_.get()), 0, n * sizeof(T));
    }
    T* get() const { return memory_.get(); }
    void fill(T value) { std::fill(get(), get() + n_, value); }

  private:
    static constexpr std::align_val_t kAlignment{64};
    struct Free {
        void operator()(T* memory) const { ::operator delete(static_cast<void*>(memory), kAlignment); }
    };
    size_t n_;
    std::unique_ptr<T, Free> memory_;
};

// What evaluating a forest needs. Trees of any shape are evaluated on two groups of cells at once: one hides the
// latency of the other, and their bits share cache lines.
struct Scratch {
    const int groups;
    Aligned<Bits> slots, separators;  // those of all groups side by side
    Aligned<float> sums, column;
    Aligned<double> doubles;

    explicit Scratch(const Tables& t)
        : groups(t.layout == Layout::perfect ? 1 : 2), slots(most_slots(t) * groups),
          separators((size_t(t.largest_tree) + 1) * groups), sums(size_t(groups) * kCells), column(kCells),
          doubles(t.is_double ? size_t(groups) * kCells : 0) {}

    int cells() const { return groups * kCells; }

    static size_t most_slots(const Tables& t) {
        size_t most = 1;  // trees of one leaf compare nothing, but read a slot
        for (const Scope& scope : t.scopes) most = std::max<size_t>(most, scope.slots);
        return most;
    }
};

template <int shift>
GELISOL_INLINE void exchange(Bits& a, Bits& b, uint64_t mask) {
    const Bits moved = ((a >> shift) ^ b) & mask;
    b ^= moved;
    a ^= moved << shift;
}

// Four bit planes to nibbles, one a cell: nibble i of vector j has the cell of bit 4i + j.
GELISOL_INLINE void to_nibbles(Bits* p) {
    for (int i = 0; i < 4; i += 2) exchange<1>(p[i], p[i + 1], 0x5555555555555555u);
    for (int i = 0; i < 2; ++i) exchange<2>(p[i], p[i + 2], 0x3333333333333333u);
}

// Eight bit planes to bytes, one a cell: byte i of vector j has the cell of bit 8i + j.
GELISOL_INLINE void to_bytes(Bits* p) {
    to_nibbles(p);
    to_nibbles(p + 4);
    for (int i = 0; i < 4; ++i) exchange<4>(p[i], p[i + 4], 0x0f0f0f0f0f0f0f0fu);
}

// `add_two` adds the leaves of two trees of up to 16 leaves each to the sums of a group's cells, `add_one` those of a tree
// of up to 64. Both are given the bit planes of codes, four a tree or eight, which they overwrite; and, of each tree,
// byte 0 of all leaves, byte 1, ... `pass` moves cells on by `half` thresholds where they pass the last of these.
#if defined(GELISOL_AVX512)
#include "lookup_avx512.hpp"
#elif defined(GELISOL_AVX2)
#include "lookup_avx2.hpp"
#elif defined(GELISOL_NEON)
#include "lookup_neon.hpp"
#else
#include "lookup_plain.hpp"
#endif

inline void set_bit(Bits& bits, int n) { reinterpret_cast<uint8_t*>(&bits)[byte_of(n)] |= uint8_t(1u << bit_of(n)); }

// The comparisons of one column on the cells of a group. A cell that passes a threshold passes all below it: its bit is
// set at the last one only, and the bits are then handed down. Slots are `stride` apart.
static void compare(const Column& column, const float* x, Bits* slots, int stride) {
    const uint32_t count = column.slots();
    for (uint32_t slot = 0; slot < count; ++slot) slots[slot * stride] = kNone;
    if (column.set_start.empty()) {
        const float* thresholds = column.thresholds.data();
        alignas(64) uint32_t passed[kCells] = {};
        for (uint32_t left = count; left > 1;) {
            const uint32_t half = left / 2;
            pass(thresholds, half, x, passed);
            left -= half;
        }
        pass(thresholds, 1, x, passed);
        for (int n = 0; n < kCells; ++n) {
            const uint32_t last = column.missing_right && x[n] != x[n] ? count : passed[n];
            if (last) set_bit(slots[(last - 1) * stride], n);
        }
        Bits passing = kNone;
        for (uint32_t slot = count; slot-- > 0;) slots[slot * stride] = passing |= slots[slot * stride];
        return;
    }
    for (int n = 0; n < kCells; ++n) {
        const bool missing = x[n] != x[n];
        // As XGBoost has it: what is no category, or none that was seen, goes left.
        const bool known = x[n] >= 0 && x[n] < float(column.categories);
        if (missing ? !column.missing_right : !known) continue;
        const int32_t category = missing ? -1 : int32_t(x[n]);
        for (uint32_t slot = 0; slot < count; ++slot) {
            const int32_t* first = column.sets.data() + column.set_start[slot];
            const int32_t* last = column.sets.data() + column.set_start[slot + 1];
            if (missing || std::binary_search(first, last, category)) set_bit(slots[slot * stride], n);
        }
    }
}

// Bits of leaf codes of perfect trees. Separator i holds the cells whose leaf is i or beyond; crossing it flips bit
// ctz(i) of the code.
template <int depth>
GELISOL_INLINE void codes_of_perfect(const Bits* slots, const uint32_t* node, Bits* planes) {
    Bits separator[(1 << depth) + 1];
    separator[0] = kAll;
    separator[1 << depth] = kNone;
    int next = 0;
GELISOL_UNROLL(4)
    for (int level = 0; level < depth; ++level) {
        const int step = 1 << (depth - 1 - level);
GELISOL_UNROLL(8)
        for (int place = 0; place < (1 << level); ++place) {
            const int i = (2 * place + 1) * step;
            separator[i] = beyond(separator[i - step], slots[node[next++]], separator[i + step]);
            planes[depth - 1 - level] = place ? planes[depth - 1 - level] ^ separator[i] : separator[i];
        }
    }
}

// The same for a tree of any shape, on two groups of cells.
inline void codes_of_any(const Tables& t, int64_t tree, const Bits* slots, Bits* separators, Bits* first, Bits* second, int width) {
    const int32_t leaves = t.leaves[tree];
    separators[0] = separators[1] = kAll;
    separators[2 * leaves] = separators[2 * leaves + 1] = kNone;
    const Node* last = t.nodes.data() + t.node_start[tree + 1];
    for (const Node* node = t.nodes.data() + t.node_start[tree]; node < last; ++node) {
        const Bits *lower = separators + 2 * node->lower, *upper = separators + 2 * node->upper, *slot = slots + 2 * size_t(node->slot);
        Bits* separator = separators + 2 * node->separator;
        separator[0] = beyond(lower[0], slot[0], upper[0]);
        separator[1] = beyond(lower[1], slot[1], upper[1]);
    }
    for (int plane = 0; plane < width; ++plane) {
        Bits a = kNone, b = kNone;
        for (int32_t i = 1 << plane; i < leaves; i += 2 << plane) a ^= separators[2 * i], b ^= separators[2 * i + 1];
        first[plane] = a;
        second[plane] = b;
    }
}

template <int depth>
static void add_perfect(const Tables& t, int64_t tree, const Bits* slots, float* sums) {
    constexpr int width = (1 << depth) - 1;
    Bits planes[8] = {};
    codes_of_perfect<depth>(slots, t.perfect.data() + tree * width, planes);
    codes_of_perfect<depth>(slots, t.perfect.data() + (tree + 1) * width, planes + 4);
    add_two(planes, t.planes.data() + 64 * tree, t.planes.data() + 64 * (tree + 1), sums);
}

static void add_pair(const Tables& t, int64_t tree, const Bits* slots, Bits* separators, float* sums) {
    Bits planes[2][8];
    codes_of_any(t, tree, slots, separators, planes[0], planes[1], 4);
    codes_of_any(t, tree + 1, slots, separators, planes[0] + 4, planes[1] + 4, 4);
    for (int group = 0; group < 2; ++group)
        add_two(planes[group], t.planes.data() + 64 * tree, t.planes.data() + 64 * (tree + 1), sums + group * kCells);
}

static void add_narrow(const Tables& t, int64_t tree, const Bits* slots, Bits* separators, float* sums) {
    Bits planes[2][8];
    codes_of_any(t, tree, slots, separators, planes[0], planes[1], 8);
    for (int group = 0; group < 2; ++group)
        add_one(planes[group], t.planes.data() + 256 * tree, t.leaves[tree], sums + group * kCells);
}

// Any number of leaves: codes of one or two bytes, values from a table in memory.
template <class Sum>
static void add_wide(const Tables& t, int64_t tree, const Bits* slots, Bits* separators, const Sum* values, Sum* sums) {
    const Sum* table = values + t.leaf_start[tree];
    const bool one_byte = t.leaves[tree] <= 256;
    Bits planes[2][16];
    codes_of_any(t, tree, slots, separators, planes[0], planes[1], one_byte ? 8 : 16);
    for (int group = 0; group < 2; ++group, sums += kCells) {
        to_bytes(planes[group]);
        const uint8_t* low = reinterpret_cast<const uint8_t*>(planes[group]);
        if (!one_byte) to_bytes(planes[group] + 8);
        const uint8_t* high = reinterpret_cast<const uint8_t*>(planes[group] + 8);
GELISOL_UNROLL(8)
        for (int n = 0; n < kCells; ++n) {
            const int at = kBytes * bit_of(n) + byte_of(n);
            sums[n] += table[one_byte ? low[at] : low[at] | high[at] << 8];
        }
    }
}

// Predictions of cells first ... first + n - 1, at most scratch.cells(), by every replicate:
// out[replicate * stride + cell - first].
static void predict_groups(const Tables& t, const Matrix& x, int64_t first, int n, Scratch& scratch, float* out, int64_t stride) {
    Bits *slots = scratch.slots.get(), *separators = scratch.separators.get();
    for (const Scope& scope : t.scopes) {
        for (int group = 0; group < scratch.groups; ++group) {
            for (const Column& column : scope.columns) {
                const float* from = x.x + column.feature * x.column;
                for (int i = 0; i < kCells; ++i)  // the last cell fills a group up
                    scratch.column.get()[i] = from[(first + std::min(group * kCells + i, n - 1)) * x.row];
                compare(column, scratch.column.get(), slots + size_t(column.first) * scratch.groups + group, scratch.groups);
            }
        }
        for (int64_t r = scope.first; r < scope.last; ++r) {
            float* sums = scratch.sums.get();
            double* doubles = scratch.doubles.get();
            scratch.sums.fill(float(t.base[r]));
            scratch.doubles.fill(t.base[r]);
            const int64_t begin = t.replicate_start[r], end = t.replicate_start[r + 1];
            switch (t.layout) {
                case Layout::perfect:
                    for (int64_t tree = begin; tree < end; tree += 2) {
                        if (t.depth == 1)
                            add_perfect<1>(t, tree, slots, sums);
                        else if (t.depth == 2)
                            add_perfect<2>(t, tree, slots, sums);
                        else if (t.depth == 3)
                            add_perfect<3>(t, tree, slots, sums);
                        else
                            add_perfect<4>(t, tree, slots, sums);
                    }
                    break;
                case Layout::pairs:
                    for (int64_t tree = begin; tree < end; tree += 2) add_pair(t, tree, slots, separators, sums);
                    break;
                case Layout::narrow:
                    for (int64_t tree = begin; tree < end; ++tree) add_narrow(t, tree, slots, separators, sums);
                    break;
                case Layout::wide:
                    for (int64_t tree = begin; tree < end; ++tree) {
                        if (t.is_double)
                            add_wide(t, tree, slots, separators, t.doubles.data(), doubles);
                        else
                            add_wide(t, tree, slots, separators, t.values.data(), sums);
                    }
                    break;
            }
            float* to = out + r * stride;
            if (t.is_double)
                for (int i = 0; i < n; ++i) to[i] = float(doubles[i] / t.divisor[r]);
            else
                std::memcpy(to, sums, size_t(n) * sizeof(float));
        }
    }
}
