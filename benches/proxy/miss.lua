-- A path that nobody has asked for, in every request: /miss/RUN/COUNT.
local run, count

function init(arguments)
    run, count = arguments[1], 0
end

function request()
    count = count + 1
    return wrk.format("GET", "/miss/" .. run .. "/" .. count)
end
