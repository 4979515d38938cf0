-- Argo CD's health check for every kind of challenge-controller.io: the rules of kstatus, and beyond
-- them what Argo CD has words for (Suspended, Degraded). Lua 5.1 with no library but the base one.
local function health(status, message)
  return { status = status, message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "It is being deleted")
end
local found = obj.status or {}
if found.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "The controller has not seen the latest change yet")
end

local conditions = {}
for _, condition in ipairs(found.conditions or {}) do
  conditions[condition.type] = condition
end

local function is(type, status)
  return conditions[type] ~= nil and conditions[type].status == status
end

local function said(type)
  local condition = conditions[type]
  if condition.message == nil or condition.message == "" then
    return condition.reason
  end
  return condition.reason .. ": " .. condition.message
end

if is("Reconciling", "True") then
  return health("Progressing", said("Reconciling"))
end
if is("Stalled", "True") then
  return health("Degraded", said("Stalled"))
end
if is("Ready", "True") then
  return health("Healthy", said("Ready"))
end
if conditions.Ready ~= nil then
  return health("Degraded", said("Ready"))  -- a node that is lost or does not serve, or an instance on one
end
if is("Suspended", "True") then
  return health("Suspended", said("Suspended"))
end
if is("Expired", "True") then
  return health("Healthy", said("Expired"))  -- at rest, as a Job that is done
end
return health("Progressing", "The controller has said nothing of it yet")
