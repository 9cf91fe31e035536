// The kernel without Python, so that one instruction set can be run on an emulated processor:
//
//     standalone INSTRUCTION_SET INPUT OUTPUT
//
// INPUT is a sequence of numbers and arrays, each array after its length; OUTPUT gets the predictions, the statistics,
// the sums of the zones and the distances, one after another. test_neon.py writes the one and compares the other.
#include <fstream>
#include <iostream>

#include "paths.hpp"

namespace {

using namespace gelisol;

struct Input {
    std::ifstream file;

    explicit Input(const char* path) : file(path, std::ios::binary) { file.exceptions(std::ios::failbit | std::ios::badbit); }

    template <class T>
    Input& operator>>(T& number) {
        file.read(reinterpret_cast<char*>(&number), sizeof number);
        return *this;
    }
    template <class T>
    Input& operator>>(std::vector<T>& values) {
        int64_t length;
        *this >> length;
        values.resize(size_t(length));
        file.read(reinterpret_cast<char*>(values.data()), std::streamsize(values.size() * sizeof(T)));
        return *this;
    }
    template <class T>
    T take() {
        T value;
        *this >> value;
        return value;
    }
};

template <class T>
void write(std::ostream& out, const std::vector<T>& values) {
    out.write(reinterpret_cast<const char*>(values.data()), std::streamsize(values.size() * sizeof(T)));
}

struct Work {
    Trees trees;
    bool is_double;
    int64_t cells;

    explicit Work(Input& in) {
        in >> trees.replicate_start >> trees.tree_start >> trees.left >> trees.right >> trees.feature >> trees.threshold;
        in >> trees.missing_left >> trees.value >> trees.category_start >> trees.categories >> trees.base >> trees.divisor;
        in >> trees.features >> is_double >> cells;
        check(trees);
    }
    std::unique_ptr<Tables> tables(bool missing) const { return compile(trees, is_double, missing); }
    Matrix matrix(const std::vector<float>& x) const { return {x.data(), trees.features, 1}; }
};

template <class Code>
void predict(Code code, const Work& work, Input& in, std::ostream& out) {
    const auto tables = work.tables(in.take<bool>());
    const auto x = in.take<std::vector<float>>();
    std::vector<float> values(size_t(work.trees.replicates() * work.cells));
    typename Code::Predicting scratch(*tables);
    for (int64_t first = 0; first < work.cells; first += scratch.cells())
        code.predict(*tables, work.matrix(x), first, int(std::min<int64_t>(scratch.cells(), work.cells - first)), scratch,
                     values.data() + first, work.cells);
    write(out, values);
}

Statistics statistics_of(Input& in) {
    Statistics s;
    in >> s.replicates >> s.outputs >> s.intercept >> s.slope >> s.z >> s.area >> s.predicted >> s.mean >> s.square;
    s.votes.resize(size_t(s.outputs));
    for (Votes& votes : s.votes) {
        in >> votes.residual >> votes.share >> votes.codes >> votes.kth >> votes.least;
        votes.prepare(s.replicates);
    }
    return s;
}

// Trees and statistics in one pass, as the extension does it.
template <class Code>
void summarise(Code code, const Work& work, const std::vector<float>& x, Input& in, std::ostream& out) {
    const Statistics s = statistics_of(in);
    const auto area = in.take<std::vector<double>>();
    const auto zone = in.take<std::vector<int64_t>>();
    const auto zones = in.take<int64_t>();
    std::vector<float> statistics(size_t(s.outputs * kStatistics * work.cells));
    std::vector<int64_t> totals(size_t(zones * (2 + s.replicates + 2 * s.outputs)));
    int64_t *of_area = totals.data() + zones, *of_mean = of_area + zones * (1 + s.replicates);
    Sums sums{zones, totals.data(), of_area, of_area + zones, of_mean, of_mean + zones * s.outputs};
    const auto tables = work.tables(false);
    typename Code::Predicting scratch(*tables);
    typename Code::Summarising room(s);
    const int64_t step = scratch.cells();
    std::vector<float> values(size_t(s.replicates * step));
    for (int64_t first = 0; first < work.cells; first += step) {
        const int n = int(std::min(step, work.cells - first));
        code.predict(*tables, work.matrix(x), first, n, scratch, values.data(), step);
        for (int64_t group = 0; group < n; group += Code::cells) {
            const int64_t at = first + group;
            code.summarise_cells(s, values.data() + group, step, int(std::min<int64_t>(Code::cells, n - group)), area.data() + at,
                                 zone.data() + at, statistics.data() + at, work.cells, room, sums);
        }
    }
    if (sums.overflow) throw std::runtime_error("a value is beyond its bound");
    write(out, statistics);
    write(out, totals);
}

template <class Code>
void compare(Code code, const Work& work, const std::vector<float>& x, Input& in, std::ostream& out) {
    Points points;
    in >> points.columns >> points.scale >> points.places;
    std::vector<double> distances(static_cast<size_t>(work.cells));
    code.nearest_point(points, work.matrix(x), work.cells, distances.data());
    write(out, distances);
    std::vector<int32_t> counts(static_cast<size_t>(work.cells));
    code.points_within(points, in.take<double>(), work.matrix(x), work.cells, counts.data());
    write(out, counts);
}

}  // namespace

int main(int count, char** arguments) try {
    if (count != 4) throw std::invalid_argument("expected: INSTRUCTION_SET INPUT OUTPUT");
    Input in(arguments[2]);
    std::ofstream out(arguments[3], std::ios::binary);
    const Work work(in);
    with_code(choose(arguments[1]), [&](auto code) {
        predict(code, work, in, out);
        const auto known = in.take<std::vector<float>>();  // x without missing values
        summarise(code, work, known, in, out);
        compare(code, work, known, in, out);
    });
    return out.flush() ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
}
