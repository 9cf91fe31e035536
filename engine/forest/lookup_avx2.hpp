// Leaves looked up in registers of AVX2, four byte planes of 16 leaves at a time; see kernel.hpp, which includes this.

inline void pass(const float* thresholds, uint32_t half, const float* x, uint32_t* passed) {
    const __m256i step = _mm256_set1_epi32(int(half));
    for (int n = 0; n < kCells; n += 8) {
        __m256i* at = reinterpret_cast<__m256i*>(passed + n);
        const __m256 threshold = _mm256_i32gather_ps(thresholds + half - 1, *at, 4);
        const __m256 beyond = _mm256_cmp_ps(threshold, _mm256_load_ps(x + n), _CMP_LE_OQ);
        *at = _mm256_add_epi32(*at, _mm256_and_si256(_mm256_castps_si256(beyond), step));
    }
}

GELISOL_INLINE void add_two(Bits* codes, const uint8_t* first, const uint8_t* second, float* sums) {
    to_bytes(codes);
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
}

GELISOL_INLINE void add_one(Bits* codes, const uint8_t* planes, int32_t leaves, float* sums) {
    to_bytes(codes);
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
}
