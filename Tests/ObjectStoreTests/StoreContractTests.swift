import ObjectStore
import TestSupport
import Testing

/// A store that the contract is run on.
struct ContractStore: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let make: @Sendable () throws -> any ObjectStore

    /// Another store is added here, and nowhere else.
    static let all: [ContractStore] = [
        ContractStore(testDescription: "file") {
            try FileStore(location: "file://" + scratch.path + "/store")
        },
        ContractStore(testDescription: "memory") { MemoryStore() },
    ]
}

private let scratch: ScratchDirectory = {
    do {
        return try ScratchDirectory()
    } catch {
        preconditionFailure("\(error)")
    }
}()

@Suite("Every store") struct StoreContractTests {
    @Test(arguments: ContractStore.all, StoreContract.all)
    func keepsTheContract(_ store: ContractStore, _ part: StoreContract) throws {
        try part.check(try store.make())
    }
}
