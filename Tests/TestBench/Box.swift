import Synchronization
package import TestSupport

/// A value that closures of a test share.
package final class Box<Value: Sendable>: Sendable {
    private let kept: Mutex<Value>

    package init(_ value: Value) { kept = Mutex(value) }

    package var value: Value {
        get { kept.withLock { $0 } }
        set { kept.withLock { $0 = newValue } }
    }
}

extension [FaultRule] {
    /// The same rules, which befall nothing before `switch` is on.
    package func once(_ switch: Box<Bool>) -> [FaultRule] {
        map { rule in
            var armed = rule
            let keys = rule.keys
            armed.keys = { `switch`.value && keys($0) }
            return armed
        }
    }
}
