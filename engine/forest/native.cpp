// The extension module: arrays checked and turned into tables, bindings.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>

#include "paths.hpp"
#include "summary.hpp"
#include "tables.hpp"

namespace gelisol {

namespace py = pybind11;

namespace {

// What an array is, for messages: "float64, 2 x 3".
std::string found_in(const py::array& array) {
    std::string text = py::cast<std::string>(py::str(array.dtype())) + ",";
    for (py::ssize_t i = 0; i < array.ndim(); ++i) text += (i ? " x " : " ") + std::to_string(array.shape(i));
    return text;
}

// An array of exactly this type; nothing is converted, since what is written into a copy is lost.
template <class T>
py::array_t<T> typed(const py::handle& value, const char* name) {
    if (!py::isinstance<py::array>(value)) throw py::type_error(std::string(name) + ": expected a NumPy array");
    if (!py::isinstance<py::array_t<T>>(value))
        throw py::type_error(std::string(name) + ": expected " + py::cast<std::string>(py::str(py::dtype::of<T>())) + "; found " +
                             found_in(py::reinterpret_borrow<py::array>(value)));
    auto array = py::reinterpret_borrow<py::array_t<T>>(value);
    if (reinterpret_cast<uintptr_t>(array.data()) % alignof(T)) throw std::invalid_argument(std::string(name) + ": is not aligned");
    return array;
}

// A copy of an array's values, in C order. Types are widened where no value can change, and never narrowed.
template <class T>
std::vector<T> vector_of(const py::handle& values, const char* name, int64_t size = -1) {
    const auto given = py::array::ensure(values);
    if (!given) throw py::error_already_set();
    const auto safe = py::module_::import("numpy").attr("can_cast")(given.dtype(), py::dtype::of<T>(), "safe");
    if (!py::cast<bool>(safe)) typed<T>(given, name);  // says what is wrong
    const auto array = py::array_t<T, py::array::c_style | py::array::forcecast>::ensure(given);
    if (!array) throw py::error_already_set();
    if (size >= 0 && array.size() != size) throw std::invalid_argument(std::string(name) + ": is not of the size that the others ask for");
    return std::vector<T>(array.data(), array.data() + array.size());
}

py::handle entry(const py::dict& arrays, const char* name) {
    if (!arrays.contains(name)) throw std::invalid_argument(std::string(name) + ": is missing");
    return py::handle(arrays[name]);
}

template <class T>
std::vector<T> vector_of(const py::dict& arrays, const char* name, int64_t size = -1) {
    return vector_of<T>(entry(arrays, name), name, size);
}

// One value a cell, in a row.
template <class T>
py::array_t<T> per_cell(const py::handle& values, int64_t cells, const char* name) {
    auto array = typed<T>(values, name);
    if (array.ndim() != 1 || array.shape(0) != cells || !(array.flags() & py::array::c_style))
        throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(cells) + " values, one a cell, in a row; found " +
                                    found_in(array));
    return array;
}

py::array_t<float> cells_of(const py::handle& x, int64_t columns, const char* name = "x") {
    auto array = typed<float>(x, name);
    if (array.ndim() != 2 || (columns >= 0 && array.shape(1) != columns))
        throw std::invalid_argument(std::string(name) + ": expected cells x " +
                                    (columns < 0 ? std::string("columns") : std::to_string(columns) + " columns") + "; found " +
                                    found_in(array));
    if (array.strides(0) % 4 || array.strides(1) % 4) throw std::invalid_argument(std::string(name) + ": is not aligned");
    return array;
}

Matrix matrix_of(const py::array_t<float>& x) { return {x.data(), x.strides(0) / 4, x.strides(1) / 4}; }

// An array that results are written into.
template <class T>
py::array_t<T> writable(const py::handle& value, const std::vector<int64_t>& shape, const char* name) {
    auto array = typed<T>(value, name);
    bool fits = array.ndim() == int64_t(shape.size()) && (array.flags() & py::array::c_style);
    for (size_t i = 0; fits && i < shape.size(); ++i) fits = array.shape(i) == shape[i];
    if (!fits) {
        std::string expected;
        for (const int64_t n : shape) expected += (expected.empty() ? "" : " x ") + std::to_string(n);
        throw std::invalid_argument(std::string(name) + ": expected " + expected + " in C order; found " + found_in(array));
    }
    if (!array.writeable()) throw std::invalid_argument(std::string(name) + ": is read-only");
    return array;
}

class Summary {
  public:
    explicit Summary(const py::dict& a) {
        s_.replicates = py::cast<int64_t>(entry(a, "replicates"));
        s_.outputs = py::cast<int64_t>(entry(a, "outputs"));
        if (s_.replicates < 2 || s_.outputs < 1) throw std::invalid_argument("expected two replicates or more, one output or more");
        s_.intercept = vector_of<double>(a, "intercept", s_.replicates * s_.outputs);
        s_.slope = vector_of<double>(a, "slope", s_.replicates * s_.outputs);
        s_.z = py::cast<double>(entry(a, "z"));
        for (const py::handle& each : py::cast<py::list>(entry(a, "votes"))) {
            const auto v = py::reinterpret_borrow<py::dict>(each);
            Votes votes;
            votes.residual = vector_of<float>(v, "residual");
            const int64_t sites = int64_t(votes.residual.size());
            votes.share = vector_of<float>(v, "share", sites);
            votes.codes = vector_of<uint8_t>(v, "codes", sites * s_.chunks());
            votes.kth = py::cast<int64_t>(entry(v, "kth"));
            votes.least = py::cast<double>(entry(v, "least"));
            if (votes.kth < 0 || votes.kth > sites) throw std::invalid_argument("kth: is beyond the number of sites");
            votes.prepare(s_.replicates);
            for (const uint8_t code : votes.codes)
                if (code > 15) throw std::invalid_argument("codes: are beyond four bits");
            if (!std::is_sorted(votes.residual.rbegin(), votes.residual.rend())) throw std::invalid_argument("residual: does not descend");
            s_.votes.push_back(std::move(votes));
        }
        if (int64_t(s_.votes.size()) != s_.outputs) throw std::invalid_argument("votes: expected one entry an output");
        const auto formats = py::cast<std::vector<double>>(entry(a, "formats"));
        if (formats.size() != 8) throw std::invalid_argument("formats: expected eight numbers");
        FixedPoint* format[] = {&s_.area, &s_.predicted, &s_.mean, &s_.square};
        for (int i = 0; i < 4; ++i) *format[i] = {formats[2 * i], formats[2 * i + 1]};
    }

    const Statistics& get() const { return s_; }

  private:
    Statistics s_;
};

// Where the results of a pass go, checked against what is asked for; holds on to the arrays while the pass runs.
struct Results {
    const double* area;
    const int64_t* zone;
    float* out;
    int64_t cells;
    Sums sums;
    std::vector<py::array> held;

    Results(const Statistics& s, int64_t n, const py::handle& areas, const py::handle& zones, const py::handle& statistics,
            const py::dict& totals)
        : cells(n) {
        area = hold(per_cell<double>(areas, n, "area")).data();
        zone = hold(per_cell<int64_t>(zones, n, "zone")).data();
        out = hold(writable<float>(statistics, {s.outputs, kStatistics, n}, "statistics")).mutable_data();
        sums.zones = typed<int64_t>(entry(totals, "cells"), "cells").size();
        sums.cells = of(totals, "cells", {sums.zones});
        sums.area = of(totals, "area", {sums.zones});
        sums.predicted = of(totals, "predicted", {s.replicates, sums.zones});
        sums.mean = of(totals, "mean", {s.outputs, sums.zones});
        sums.square = of(totals, "square", {s.outputs, sums.zones});
        for (int64_t i = 0; i < n; ++i)
            if (zone[i] < 0 || zone[i] >= sums.zones) throw std::invalid_argument("zone: is beyond the number of zones");
    }

    template <class T>
    py::array_t<T> hold(py::array_t<T> array) {
        held.push_back(array);
        return array;
    }

    int64_t* of(const py::dict& totals, const char* name, const std::vector<int64_t>& shape) {
        return hold(writable<int64_t>(entry(totals, name), shape, name)).mutable_data();
    }

    // The value that was refused and its bound, or None.
    py::object refused() const {
        if (!sums.overflow) return py::none();
        return py::make_tuple(sums.refused, sums.bound);
    }
};

class Forest {
  public:
    Forest(const py::dict& a, bool is_double) : is_double_(is_double) {
        trees_.replicate_start = vector_of<int64_t>(a, "replicate_start");
        trees_.tree_start = vector_of<int64_t>(a, "tree_start");
        trees_.left = vector_of<int32_t>(a, "left");
        trees_.right = vector_of<int32_t>(a, "right");
        trees_.feature = vector_of<int32_t>(a, "feature");
        trees_.threshold = vector_of<float>(a, "threshold");
        trees_.missing_left = vector_of<uint8_t>(a, "missing_left");
        trees_.value = vector_of<double>(a, "value");
        trees_.category_start = vector_of<int64_t>(a, "category_start");
        trees_.categories = vector_of<int32_t>(a, "categories");
        trees_.base = vector_of<double>(a, "base");
        trees_.divisor = vector_of<double>(a, "divisor");
        trees_.features = py::cast<int64_t>(entry(a, "features"));
        py::gil_scoped_release release;
        check(trees_);
        complete_ = compile(trees_, is_double, false);
    }

    // All replicates of all cells, into `out`, replicates x cells.
    void predict(const py::object& values, const py::object& out, bool missing, const std::string& wanted) {
        const auto x = cells_of(values, trees_.features);
        const Matrix matrix = matrix_of(x);
        const int64_t cells = x.shape(0);
        auto into = writable<float>(out, {trees_.replicates(), cells}, "out");
        float* to = into.mutable_data();
        const std::string name = choose(wanted);
        py::gil_scoped_release release;
        const Tables& t = tables(missing);
        with_code(name, [&](auto code) {
            typename decltype(code)::Predicting scratch(t);
            const int64_t step = scratch.cells();
            for (int64_t first = 0; first < cells; first += step)
                code.predict(t, matrix, first, int(std::min<int64_t>(step, cells - first)), scratch, to + first, cells);
        });
    }

    // Statistics and sums of all cells in one pass; the replicates of some hundred cells are held at a time.
    py::object summarise(const py::object& values, const Summary& summary, const py::object& area, const py::object& zone,
                         const py::object& statistics, const py::dict& totals, const std::string& wanted) {
        const Statistics& s = summary.get();
        if (s.replicates != trees_.replicates()) throw std::invalid_argument("the statistics are of another number of replicates");
        const auto x = cells_of(values, trees_.features);
        const Matrix matrix = matrix_of(x);
        Results results(s, x.shape(0), area, zone, statistics, totals);
        const std::string name = choose(wanted);
        {
            py::gil_scoped_release release;
            const Tables& t = tables(false);
            with_code(name, [&](auto code) {
                typename decltype(code)::Predicting scratch(t);
                const int64_t step = scratch.cells();
                typename decltype(code)::Summarising room(s);
                std::vector<float> predicted(size_t(s.replicates * step));
                for (int64_t first = 0; first < results.cells; first += step) {
                    const int n = int(std::min<int64_t>(step, results.cells - first));
                    code.predict(t, matrix, first, n, scratch, predicted.data(), step);
                    for (int64_t group = 0; group < n; group += code.cells) {
                        const int64_t at = first + group;
                        code.summarise_cells(s, predicted.data() + group, step, int(std::min<int64_t>(code.cells, n - group)), results.area + at,
                                       results.zone + at, results.out + at, results.cells, room, results.sums);
                    }
                }
            });
        }
        return results.refused();
    }

    py::dict describe() const {
        static const char* const layouts[] = {"perfect", "pairs", "narrow", "wide"};
        py::dict facts;
        std::vector<uint32_t> slots;
        for (const Scope& scope : complete_->scopes) slots.push_back(scope.slots);
        facts["layout"] = layouts[int(complete_->layout)];
        facts["depth"] = complete_->depth;
        facts["largest_tree"] = complete_->largest_tree;
        facts["comparisons"] = slots;
        facts["trees"] = int64_t(trees_.tree_start.size()) - 1;
        return facts;
    }

  private:
    const Tables& tables(bool missing) {
        if (!missing) return *complete_;
        std::call_once(once_, [&] { missing_ = compile(trees_, is_double_, true); });
        return *missing_;
    }

    const bool is_double_;
    Trees trees_;
    std::unique_ptr<Tables> complete_, missing_;
    std::once_flag once_;
};

// The same statistics of predictions that come from elsewhere, replicates x cells.
py::object summarise(const py::object& values, const Summary& summary, const py::object& area, const py::object& zone,
                     const py::object& statistics, const py::dict& totals, const std::string& wanted) {
    const Statistics& s = summary.get();
    const auto predicted = typed<float>(values, "predicted");
    if (predicted.ndim() != 2 || predicted.shape(0) != s.replicates || !(predicted.flags() & py::array::c_style))
        throw std::invalid_argument("predicted: expected " + std::to_string(s.replicates) + " replicates x cells in C order; found " +
                                    found_in(predicted));
    Results results(s, predicted.shape(1), area, zone, statistics, totals);
    const float* from = predicted.data();
    const std::string name = choose(wanted);
    {
        py::gil_scoped_release release;
        with_code(name, [&](auto code) {
            typename decltype(code)::Summarising room(s);
            std::vector<float> group(size_t(s.replicates * code.cells));
            for (int64_t first = 0; first < results.cells; first += code.cells) {
                const int n = int(std::min<int64_t>(code.cells, results.cells - first));
                for (int64_t r = 0; r < s.replicates; ++r)
                    std::memcpy(group.data() + r * code.cells, from + r * results.cells + first, size_t(n) * sizeof(float));
                code.summarise_cells(s, group.data(), code.cells, n, results.area + first, results.zone + first, results.out + first,
                               results.cells, room, results.sums);
            }
        });
    }
    return results.refused();
}

Points points_of(const py::object& columns, const py::object& scale, const py::object& places, int64_t width) {
    Points points{vector_of<int64_t>(columns, "columns"), vector_of<double>(scale, "scale"), vector_of<double>(places, "places")};
    if (points.scale.size() != points.columns.size()) throw std::invalid_argument("scale: expected one value a column");
    if (points.columns.empty() || points.places.empty() || points.places.size() % points.columns.size())
        throw std::invalid_argument("places: expected points x columns");
    for (const int64_t column : points.columns)
        if (column < 0 || column >= width) throw std::invalid_argument("columns: are beyond those of x");
    return points;
}

// Squared distance of each cell from the nearest of some scaled points.
py::array_t<double> nearest(const py::object& values, const py::object& columns, const py::object& scale, const py::object& places,
                            const std::string& wanted) {
    const auto x = cells_of(values, -1);
    const Matrix matrix = matrix_of(x);
    const Points points = points_of(columns, scale, places, x.shape(1));
    py::array_t<double> out(x.shape(0));
    double* to = out.mutable_data();
    const int64_t cells = x.shape(0);
    const std::string name = choose(wanted);
    {
        py::gil_scoped_release release;
        with_code(name, [&](auto code) { code.nearest_point(points, matrix, cells, to); });
    }
    return out;
}

// How many of some scaled points have a squared distance from each cell below a bound.
py::array_t<int32_t> within(const py::object& values, const py::object& columns, const py::object& scale, const py::object& places,
                            double bound, const std::string& wanted) {
    const auto x = cells_of(values, -1);
    const Matrix matrix = matrix_of(x);
    const Points points = points_of(columns, scale, places, x.shape(1));
    py::array_t<int32_t> out(x.shape(0));
    int32_t* to = out.mutable_data();
    const int64_t cells = x.shape(0);
    const std::string name = choose(wanted);
    {
        py::gil_scoped_release release;
        with_code(name, [&](auto code) { code.points_within(points, bound, matrix, cells, to); });
    }
    return out;
}

}  // namespace

}  // namespace gelisol

PYBIND11_MODULE(_native, module) {
    module.doc() = "Forests and statistics of cells, compiled; see `engine.forest`.";
    module.def("instruction_sets", &gelisol::instruction_sets);
    module.def("summarise", &gelisol::summarise);
    module.def("nearest", &gelisol::nearest);
    module.def("within", &gelisol::within);
    gelisol::py::class_<gelisol::Summary>(module, "Summary").def(gelisol::py::init<const gelisol::py::dict&>());
    gelisol::py::class_<gelisol::Forest>(module, "Forest")
        .def(gelisol::py::init<const gelisol::py::dict&, bool>())
        .def("predict", &gelisol::Forest::predict)
        .def("summarise", &gelisol::Forest::summarise)
        .def("describe", &gelisol::Forest::describe);
}
