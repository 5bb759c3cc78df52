/// An error of a test's servers and clients: one sentence for the reader of the log.
package struct TestFailure: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
