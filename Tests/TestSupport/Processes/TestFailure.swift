/// What a test's servers and clients throw: one sentence for the person who reads the log.
package struct TestFailure: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
