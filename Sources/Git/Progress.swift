/// Reports the progress of a long command to a person, one line at a time, each replacing the last.
package struct Progress: Sendable {
    private let show: (@Sendable (String, Weight) -> Void)?

    /// Whether a line may be dropped if lines arrive too fast to be read.
    package enum Weight: Sendable {
        /// A new step, which may take long: never dropped.
        case step
        /// The progress within a step.
        case count
    }

    /// No progress is reported.
    package static let none = Progress(show: nil)

    /// - Parameter show: called with each line, without a newline; may be called often.
    package init(_ show: @escaping @Sendable (String, Weight) -> Void) {
        self.init(show: show)
    }

    private init(show: (@Sendable (String, Weight) -> Void)?) { self.show = show }

    /// Whether anyone is watching. Information that only they need is not requested otherwise.
    package var isWatched: Bool { show != nil }

    /// Reports the beginning of the next step.
    package func begin(_ line: @autoclosure () -> String) {
        if let show { show(line(), .step) }
    }

    /// Reports the progress within the current step.
    package func count(_ line: @autoclosure () -> String) {
        if let show { show(line(), .count) }
    }

    /// Formats a number of bytes for people, in powers of 1024 as git does.
    package static func bytes(_ count: Int64) -> String {
        var unit = 0
        while unit < 3, count >> (10 * (unit + 1)) > 0 { unit += 1 }
        let name = ["bytes", "KiB", "MiB", "GiB"][unit]
        if unit == 0 { return "\(count) \(name)" }
        let tenths = (count * 10) >> (10 * unit)
        return "\(tenths / 10).\(tenths % 10) \(name)"
    }
}
