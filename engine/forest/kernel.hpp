// Evaluates a forest on groups of 256 cells. Included once per instruction set, inside a namespace of its own.
//
// Every comparison of the forest is made once per group, and its outcome kept as one bit per cell. A tree then is a few
// bitwise operations on 256 cells at a time, which give each cell the code of its leaf, bit by bit; the bits are turned
// into bytes, and the bytes look the leaf's value up. Nothing branches on data, and sums are taken tree by tree in the
// order of the model, so that they are those of the library that trained it, to the bit.

typedef uint64_t Bits __attribute__((vector_size(32)));  // one bit per cell
typedef float Floats __attribute__((vector_size(32)));

constexpr int kCells = 256;

// Cell n has bit 8q + j of the 256: chosen so that bytes that are looked up and interleaved end up in the order of cells.
inline constexpr int byte_of(int n) { return 4 * (n / 8 % 4) + n % 4 + 16 * (n / 4 % 2); }
inline constexpr int bit_of(int n) { return n / 32; }

static const Bits kNone = {0, 0, 0, 0};
static const Bits kAll = {~uint64_t(0), ~uint64_t(0), ~uint64_t(0), ~uint64_t(0)};

// Memory aligned to a vector.
template <class T>
class Aligned {
  public:
    explicit Aligned(size_t n = 0) : n_(n), memory_(nullptr, std::free) {
        memory_.reset(static_cast<T*>(std::aligned_alloc(32, (n * sizeof(T) / 32 + 1) * 32)));
        if (!memory_) throw std::bad_alloc();
        std::memset(static_cast<void*>(memory_.get()), 0, n * sizeof(T));
    }
    T* get() const { return memory_.get(); }
    void fill(T value) { std::fill(get(), get() + n_, value); }

  private:
    size_t n_;
    std::unique_ptr<T, void (*)(void*)> memory_;
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

inline void set_bit(Bits& bits, int n) { reinterpret_cast<uint8_t*>(&bits)[byte_of(n)] |= uint8_t(1u << bit_of(n)); }

// The comparisons of one column on 256 cells. A cell that passes a threshold passes all below it: its bit is set at the
// last one only, and the bits are then handed down. Slots are `stride` apart.
static void compare(const Column& column, const float* x, Bits* slots, int stride) {
    const uint32_t count = column.slots();
    for (uint32_t slot = 0; slot < count; ++slot) slots[slot * stride] = kNone;
    if (column.set_start.empty()) {
        const float* thresholds = column.thresholds.data();
        uint32_t passed[kCells] = {};
        for (uint32_t left = count; left > 1;) {
            const uint32_t half = left / 2;
            for (int n = 0; n < kCells; ++n) passed[n] += thresholds[passed[n] + half - 1] <= x[n] ? half : 0;
            left -= half;
        }
        for (int n = 0; n < kCells; ++n) {
            uint32_t last = passed[n] + (thresholds[passed[n]] <= x[n] ? 1 : 0);
            if (column.missing_right && x[n] != x[n]) last = count;
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
inline __attribute__((always_inline)) void codes_of_perfect(const Bits* slots, const uint32_t* node, Bits* planes) {
    Bits separator[(1 << depth) + 1];
    separator[0] = kAll;
    separator[1 << depth] = kNone;
    int next = 0;
#pragma GCC unroll 4
    for (int level = 0; level < depth; ++level) {
        const int step = 1 << (depth - 1 - level);
#pragma GCC unroll 8
        for (int place = 0; place < (1 << level); ++place) {
            const int i = (2 * place + 1) * step;
            separator[i] = (separator[i - step] & slots[node[next++]]) | separator[i + step];
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
        separator[0] = (lower[0] & slot[0]) | upper[0];
        separator[1] = (lower[1] & slot[1]) | upper[1];
    }
    for (int plane = 0; plane < width; ++plane) {
        Bits a = kNone, b = kNone;
        for (int32_t i = 1 << plane; i < leaves; i += 2 << plane) a ^= separators[2 * i], b ^= separators[2 * i + 1];
        first[plane] = a;
        second[plane] = b;
    }
}

template <int shift>
inline __attribute__((always_inline)) void exchange(Bits& a, Bits& b, uint64_t mask) {
    const Bits moved = ((a >> shift) ^ b) & mask;
    b ^= moved;
    a ^= moved << shift;
}

// Eight bit planes of 256 cells to 8 × 32 bytes, a byte a cell: 8 × 8 bits are transposed 32 times over.
inline __attribute__((always_inline)) void to_bytes(Bits* p) {
    for (int i = 0; i < 8; i += 2) exchange<1>(p[i], p[i + 1], 0x5555555555555555u);
    for (int i = 0; i < 8; i += (i & 1) ? 3 : 1) exchange<2>(p[i], p[i + 2], 0x3333333333333333u);
    for (int i = 0; i < 4; ++i) exchange<4>(p[i], p[i + 4], 0x0f0f0f0f0f0f0f0fu);
}

// Adds the leaves of two trees, whose codes are the low and the high half of each byte, to the sums of 256 cells.
inline __attribute__((always_inline)) void add_two(const Bits* codes, const uint8_t* first, const uint8_t* second,
                                                   float* sums) {
#if defined(GELISOL_AVX2)
    __m256i a[4], b[4];
    for (int k = 0; k < 4; ++k) {
        a[k] = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(first + 16 * k)));
        b[k] = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(second + 16 * k)));
    }
    const __m256i low = _mm256_set1_epi8(0x0f);
    const auto leaves = [](const __m256i* planes, __m256i code, Floats* values) __attribute__((always_inline, target("avx2"))) {
        const __m256i p0 = _mm256_shuffle_epi8(planes[0], code), p1 = _mm256_shuffle_epi8(planes[1], code);
        const __m256i p2 = _mm256_shuffle_epi8(planes[2], code), p3 = _mm256_shuffle_epi8(planes[3], code);
        const __m256i l01 = _mm256_unpacklo_epi8(p0, p1), h01 = _mm256_unpackhi_epi8(p0, p1);
        const __m256i l23 = _mm256_unpacklo_epi8(p2, p3), h23 = _mm256_unpackhi_epi8(p2, p3);
        values[0] = Floats(_mm256_unpacklo_epi16(l01, l23));
        values[1] = Floats(_mm256_unpackhi_epi16(l01, l23));
        values[2] = Floats(_mm256_unpacklo_epi16(h01, h23));
        values[3] = Floats(_mm256_unpackhi_epi16(h01, h23));
    };
    for (int j = 0; j < 8; ++j) {
        const __m256i code = __m256i(codes[j]);
        Floats x[4], y[4];
        leaves(a, _mm256_and_si256(code, low), x);
        leaves(b, _mm256_and_si256(_mm256_srli_epi16(code, 4), low), y);
        Floats* sum = reinterpret_cast<Floats*>(sums + 32 * j);
        for (int v = 0; v < 4; ++v) sum[v] = (sum[v] + x[v]) + y[v];
    }
#elif defined(GELISOL_NEON)
    uint8x16_t a[4], b[4];
    for (int k = 0; k < 4; ++k) a[k] = vld1q_u8(first + 16 * k), b[k] = vld1q_u8(second + 16 * k);
    const auto leaves = [](const uint8x16_t* planes, uint8x16_t code, float32x4_t* values) {
        const uint8x16_t p0 = vqtbl1q_u8(planes[0], code), p1 = vqtbl1q_u8(planes[1], code);
        const uint8x16_t p2 = vqtbl1q_u8(planes[2], code), p3 = vqtbl1q_u8(planes[3], code);
        const uint16x8_t l01 = vreinterpretq_u16_u8(vzip1q_u8(p0, p1)), h01 = vreinterpretq_u16_u8(vzip2q_u8(p0, p1));
        const uint16x8_t l23 = vreinterpretq_u16_u8(vzip1q_u8(p2, p3)), h23 = vreinterpretq_u16_u8(vzip2q_u8(p2, p3));
        values[0] = vreinterpretq_f32_u16(vzip1q_u16(l01, l23));
        values[1] = vreinterpretq_f32_u16(vzip2q_u16(l01, l23));
        values[2] = vreinterpretq_f32_u16(vzip1q_u16(h01, h23));
        values[3] = vreinterpretq_f32_u16(vzip2q_u16(h01, h23));
    };
    for (int j = 0; j < 8; ++j) {
        for (int half = 0; half < 2; ++half) {
            const uint8x16_t code = vld1q_u8(reinterpret_cast<const uint8_t*>(codes + j) + 16 * half);
            float32x4_t x[4], y[4];
            leaves(a, vandq_u8(code, vdupq_n_u8(0x0f)), x);
            leaves(b, vshrq_n_u8(code, 4), y);
            for (int v = 0; v < 4; ++v) {
                float* sum = sums + 32 * j + 8 * v + 4 * half;
                vst1q_f32(sum, vaddq_f32(vaddq_f32(vld1q_f32(sum), x[v]), y[v]));
            }
        }
    }
#else
    float a[16], b[16];
    for (int i = 0; i < 16; ++i) {
        uint32_t x = 0, y = 0;
        for (int k = 3; k >= 0; --k) x = x << 8 | first[16 * k + i], y = y << 8 | second[16 * k + i];
        std::memcpy(a + i, &x, 4);
        std::memcpy(b + i, &y, 4);
    }
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(codes);
    for (int n = 0; n < kCells; ++n) {
        const uint8_t code = bytes[32 * bit_of(n) + byte_of(n)];
        sums[n] = (sums[n] + a[code & 15]) + b[code >> 4];
    }
#endif
}

template <int depth>
static void add_perfect(const Tables& t, int64_t tree, const Bits* slots, float* sums) {
    constexpr int width = (1 << depth) - 1;
    Bits planes[8] = {};
    codes_of_perfect<depth>(slots, t.perfect.data() + tree * width, planes);
    codes_of_perfect<depth>(slots, t.perfect.data() + (tree + 1) * width, planes + 4);
    to_bytes(planes);
    add_two(planes, t.planes.data() + 64 * tree, t.planes.data() + 64 * (tree + 1), sums);
}

static void add_pair(const Tables& t, int64_t tree, const Bits* slots, Bits* separators, float* sums) {
    Bits planes[2][8];
    codes_of_any(t, tree, slots, separators, planes[0], planes[1], 4);
    codes_of_any(t, tree + 1, slots, separators, planes[0] + 4, planes[1] + 4, 4);
    for (int group = 0; group < 2; ++group) {
        to_bytes(planes[group]);
        add_two(planes[group], t.planes.data() + 64 * tree, t.planes.data() + 64 * (tree + 1), sums + group * kCells);
    }
}

// Adds the leaves of a tree of up to 64, whose codes are bytes, to the sums of 256 cells.
inline __attribute__((always_inline)) void add_one(const Bits* codes, const uint8_t* planes, int32_t leaves, float* sums) {
#if defined(GELISOL_AVX2)
    const int parts = leaves > 32 ? 4 : 2;
    __m256i table[4][4];
    for (int k = 0; k < 4; ++k)
        for (int part = 0; part < 4; ++part)
            table[k][part] = _mm256_broadcastsi128_si256(
                _mm_loadu_si128(reinterpret_cast<const __m128i*>(planes + 64 * k + 16 * part)));
    const __m256i low = _mm256_set1_epi8(0x0f);
    for (int j = 0; j < 8; ++j) {
        const __m256i code = __m256i(codes[j]), nibble = _mm256_and_si256(code, low);
        const __m256i bit4 = _mm256_slli_epi16(code, 3), bit5 = _mm256_slli_epi16(code, 2);
        __m256i p[4];
        for (int k = 0; k < 4; ++k) {
            p[k] = _mm256_blendv_epi8(_mm256_shuffle_epi8(table[k][0], nibble), _mm256_shuffle_epi8(table[k][1], nibble), bit4);
            if (parts == 2) continue;
            const __m256i upper =
                _mm256_blendv_epi8(_mm256_shuffle_epi8(table[k][2], nibble), _mm256_shuffle_epi8(table[k][3], nibble), bit4);
            p[k] = _mm256_blendv_epi8(p[k], upper, bit5);
        }
        const __m256i l01 = _mm256_unpacklo_epi8(p[0], p[1]), h01 = _mm256_unpackhi_epi8(p[0], p[1]);
        const __m256i l23 = _mm256_unpacklo_epi8(p[2], p[3]), h23 = _mm256_unpackhi_epi8(p[2], p[3]);
        Floats* sum = reinterpret_cast<Floats*>(sums + 32 * j);
        sum[0] += Floats(_mm256_unpacklo_epi16(l01, l23));
        sum[1] += Floats(_mm256_unpackhi_epi16(l01, l23));
        sum[2] += Floats(_mm256_unpacklo_epi16(h01, h23));
        sum[3] += Floats(_mm256_unpackhi_epi16(h01, h23));
    }
#elif defined(GELISOL_NEON)
    (void)leaves;
    uint8x16x4_t table[4];
    for (int k = 0; k < 4; ++k)
        for (int part = 0; part < 4; ++part) table[k].val[part] = vld1q_u8(planes + 64 * k + 16 * part);
    for (int j = 0; j < 8; ++j) {
        for (int half = 0; half < 2; ++half) {
            const uint8x16_t code = vld1q_u8(reinterpret_cast<const uint8_t*>(codes + j) + 16 * half);
            const uint8x16_t p0 = vqtbl4q_u8(table[0], code), p1 = vqtbl4q_u8(table[1], code);
            const uint8x16_t p2 = vqtbl4q_u8(table[2], code), p3 = vqtbl4q_u8(table[3], code);
            const uint16x8_t l01 = vreinterpretq_u16_u8(vzip1q_u8(p0, p1)), h01 = vreinterpretq_u16_u8(vzip2q_u8(p0, p1));
            const uint16x8_t l23 = vreinterpretq_u16_u8(vzip1q_u8(p2, p3)), h23 = vreinterpretq_u16_u8(vzip2q_u8(p2, p3));
            const uint16x8_t values[4] = {vzip1q_u16(l01, l23), vzip2q_u16(l01, l23), vzip1q_u16(h01, h23), vzip2q_u16(h01, h23)};
            for (int v = 0; v < 4; ++v) {
                float* sum = sums + 32 * j + 8 * v + 4 * half;
                vst1q_f32(sum, vaddq_f32(vld1q_f32(sum), vreinterpretq_f32_u16(values[v])));
            }
        }
    }
#else
    float table[64];
    for (int i = 0; i < 64 && i < 2 * leaves; ++i) {  // codes are below twice the number of leaves
        uint32_t bits = 0;
        for (int k = 3; k >= 0; --k) bits = bits << 8 | planes[64 * k + i];
        std::memcpy(table + i, &bits, 4);
    }
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(codes);
    for (int n = 0; n < kCells; ++n) sums[n] += table[bytes[32 * bit_of(n) + byte_of(n)]];
#endif
}

static void add_narrow(const Tables& t, int64_t tree, const Bits* slots, Bits* separators, float* sums) {
    Bits planes[2][8];
    codes_of_any(t, tree, slots, separators, planes[0], planes[1], 8);
    for (int group = 0; group < 2; ++group) {
        to_bytes(planes[group]);
        add_one(planes[group], t.planes.data() + 256 * tree, t.leaves[tree], sums + group * kCells);
    }
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
        if (one_byte) {
            for (int j = 0; j < 8; ++j)
                for (int v = 0; v < 4; ++v)
#pragma GCC unroll 8
                    for (int l = 0; l < 8; ++l) sums[32 * j + 8 * v + l] += table[low[32 * j + 4 * v + l % 4 + 16 * (l / 4)]];
            continue;
        }
        to_bytes(planes[group] + 8);
        const uint8_t* high = reinterpret_cast<const uint8_t*>(planes[group] + 8);
        for (int n = 0; n < kCells; ++n) {
            const int at = 32 * bit_of(n) + byte_of(n);
            sums[n] += table[low[at] | high[at] << 8];
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
