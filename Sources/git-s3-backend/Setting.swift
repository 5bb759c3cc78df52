import ArgumentParser

/// Where a setting's text came from, for the error that names it.
struct Setting {
    let text: String
    /// `--workers`, or `GIT_S3_BACKEND_WORKERS`.
    let source: String

    /// The option's text, or else the variable's; nil where neither is set.
    init?(option: String?, _ name: String, in environment: [String: String]) {
        let variable =
            "GIT_S3_BACKEND_" + name.uppercased().replacing("-", with: "_")
        if let option {
            text = option
            source = "--\(name)"
        } else if let value = environment[variable], !value.isEmpty {
            text = value
            source = variable
        } else {
            return nil
        }
    }

    /// A whole number in a range.
    func number(in range: ClosedRange<Int>) throws -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw ValidationError(
                "\(source) is '\(text)'; give a whole number from \(range.lowerBound) to "
                    + "\(range.upperBound).")
        }
        return number
    }

    /// Bytes: a number, with K, M, G or T (and `iB`, if you like) for powers of 1024.
    func bytes() throws -> Int64 {
        var digits = text[...]
        if digits.hasSuffix("iB") { digits = digits.dropLast(2) }
        var factor: Int64 = 1
        if let last = digits.last, let power = "KMGT".firstIndex(of: last) {
            factor = 1 << (10 * ("KMGT".distance(from: "KMGT".startIndex, to: power) + 1))
            digits = digits.dropLast()
        }
        guard let number = Int64(digits), number >= 0 else { throw badBytes }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor)
        if overflow { throw badBytes }
        return product
    }

    private var badBytes: ValidationError {
        ValidationError("\(source) is '\(text)'; give bytes, as 1048576, 512M or 10GiB.")
    }

    /// A time: seconds, with `ms`, `s`, `m` or `h` if you like.
    func duration() throws -> Duration {
        let units: [(suffix: String, milliseconds: Int64)] = [
            ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("", 1000),
        ]
        for unit in units where text.hasSuffix(unit.suffix) {
            guard let number = Int64(text.dropLast(unit.suffix.count)),
                (0...100_000_000).contains(number)
            else { break }
            return .milliseconds(number * unit.milliseconds)
        }
        throw ValidationError("\(source) is '\(text)'; give a time, as 30, 500ms, 10m or 1h.")
    }

    /// Yes or no.
    func flag() throws -> Bool {
        switch text.lowercased() {
        case "1", "true", "yes", "on": return true
        case "0", "false", "no", "off": return false
        default: throw ValidationError("\(source) is '\(text)'; give yes or no.")
        }
    }
}
